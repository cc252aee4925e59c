import { NotFoundError } from "@sluice/shared-types";
import { type AuditEntry, writeAudit } from "./audit-repository.ts";
import type { Db, Queries } from "./open-db.ts";
import { hashPassword } from "./password.ts";

/** What a person may do: see; see and change; everything. The hydroponics system's `manager` is an operator. */
export type Role = "viewer" | "operator" | "admin";

/** A person who may log in. */
export interface User {
  id: number;
  email: string;
  fullName: string | null;
  role: Role;
  status: "active" | "disabled";
  sessionVersion: number;
  lastLogin: Date | null;
  createdAt: Date;
}

/** Somebody of that address is there already. */
export class UserExistsError extends Error {
  override readonly name = "UserExistsError";
}

/** The last admin cannot be taken away. */
export class LastAdminError extends Error {
  override readonly name = "LastAdminError";
}

const COLUMNS = `id, email, full_name AS "fullName", CASE role WHEN 'manager' THEN 'operator' ELSE role END AS role,
  status, session_version AS "sessionVersion", last_login AS "lastLogin", created_at AS "createdAt"`;

/** By whom and from where a change was made. */
export type Actor = Pick<AuditEntry, "userId" | "address" | "data">;

/** Adds a person. @throws UserExistsError */
export async function createUser(
  db: Db,
  input: { email: string; password: string; role: Role; fullName?: string | undefined },
  actor: Actor = {},
): Promise<User> {
  const passwordHash = await hashPassword(input.password);
  return db.transaction(async (tx) => {
    const [user] = await tx.query<User>(
      `INSERT INTO core.users (organization_id, email, full_name, role, password_hash)
       SELECT id, lower($1), $2, $3, $4 FROM core.organizations ORDER BY id LIMIT 1
       ON CONFLICT (email) DO NOTHING RETURNING ${COLUMNS}`,
      [input.email, input.fullName ?? null, input.role, passwordHash],
    );
    if (!user) throw new UserExistsError(`'${input.email}' is there already`);
    const message = `${user.email} is ${user.role}`;
    await writeAudit(tx, {
      event: "user.created",
      entityType: "user",
      entityId: `${user.id}`,
      message,
      ...actor,
    });
    return user;
  });
}

/** Everybody, by address. */
export function listUsers(db: Queries): Promise<User[]> {
  return db.query<User>(`SELECT ${COLUMNS} FROM core.users ORDER BY email`);
}

/** One person, where there is one. */
export async function findUser(db: Queries, id: number): Promise<User | undefined> {
  const [user] = await db.query<User>(`SELECT ${COLUMNS} FROM core.users WHERE id = $1`, [id]);
  return user;
}

/** One person by address, with the hash of the password: for logging in only. */
export async function findUserByEmail(
  db: Queries,
  email: string,
): Promise<(User & { passwordHash: string | null }) | undefined> {
  const [user] = await db.query<User & { passwordHash: string | null }>(
    `SELECT ${COLUMNS}, password_hash AS "passwordHash" FROM core.users WHERE email = lower($1)`,
    [email],
  );
  return user;
}

/** Notes a login. */
export async function noteLogin(db: Queries, id: number): Promise<void> {
  await db.execute("UPDATE core.users SET last_login = now() WHERE id = $1", [id]);
}

/** Changes a person and ends their sessions. @throws NotFoundError, LastAdminError */
export async function updateUser(
  db: Db,
  id: number,
  change: { role?: Role | undefined; status?: User["status"] | undefined; password?: string | undefined },
  actor: Actor = {},
): Promise<User> {
  const passwordHash = change.password === undefined ? null : await hashPassword(change.password);
  return db.transaction(async (tx) => {
    // two admins who take each other away at once must not both succeed
    await tx.query("SELECT pg_advisory_xact_lock(hashtext('sluice.admins'))");
    const [user] = await tx.query<User>(
      `UPDATE core.users SET role = coalesce($2, role), status = coalesce($3, status),
         password_hash = coalesce($4, password_hash), session_version = session_version + 1, updated_at = now()
        WHERE id = $1 RETURNING ${COLUMNS}`,
      [id, change.role ?? null, change.status ?? null, passwordHash],
    );
    if (!user) throw new NotFoundError(`no user ${id}`);
    const [left] = await tx.query(
      "SELECT FROM core.users WHERE role = 'admin' AND status = 'active' AND password_hash IS NOT NULL LIMIT 1",
    );
    if (!left) throw new LastAdminError("the last admin has to stay");
    const changed = Object.entries({ ...change, password: passwordHash === null ? undefined : "changed" })
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => `${key} ${value}`);
    const message = `${user.email}: ${changed.join(", ")}`;
    await writeAudit(tx, { event: "user.changed", entityType: "user", entityId: `${id}`, message, ...actor });
    return user;
  });
}
