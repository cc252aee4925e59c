// Who is there, who may do what, and who did what. As it comes over the wire: times are ISO 8601.

export type Scope = "read" | "write" | "admin";

export interface Session {
  kind: "person" | "key" | "device";
  email?: string;
  csrf?: string;
  scopes: Scope[];
}

export interface AuditEvent {
  id: number;
  event: string;
  severity: string;
  entityType: string | null;
  entityId: string | null;
  email: string | null;
  message: string | null;
  data: unknown;
  address: string | null;
  at: string;
}

export interface User {
  id: number;
  email: string;
  fullName: string | null;
  role: "viewer" | "operator" | "admin";
  status: "active" | "disabled";
  lastLogin: string | null;
}

export interface ApiKey {
  id: number;
  name: string;
  prefix: string;
  scopes: Scope[];
  devices: string[] | null;
  createdAt: string;
  expiresAt: string | null;
  revokedAt: string | null;
  lastUsedAt: string | null;
}
