import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect } from "react";
import { ApiError, request, setCsrf, whenLoggedOut } from "./request.ts";
import type { Scope, Session } from "./types/session.ts";

const KEY = ["session"];
/** Whether somebody logged in here before: without it there is nothing to ask for. */
const HINT = "sluice-session";

/** Who is logged in: undefined while that is being asked, null for nobody. */
export function useSession(): { session: Session | null | undefined; error: Error | null } {
  const client = useQueryClient();
  const { data, error } = useQuery({
    queryKey: KEY,
    queryFn: async () => {
      if (localStorage.getItem(HINT) === null) return null;
      try {
        const session = await request<Session>("GET", "/api/v1/session");
        setCsrf(session.csrf ?? "");
        return session;
      } catch (failure) {
        if (failure instanceof ApiError && failure.status === 401) {
          localStorage.removeItem(HINT);
          return null;
        }
        throw failure;
      }
    },
    staleTime: Number.POSITIVE_INFINITY,
    refetchOnWindowFocus: false,
  });
  useEffect(() => whenLoggedOut(() => client.setQueryData(KEY, null)), [client]);
  return { session: data, error };
}

/** Logging in and out; `forget` is for a session that has ended otherwise. */
export function useLogin() {
  const client = useQueryClient();
  const login = useCallback(
    async (email: string, password: string) => {
      await request("POST", "/api/v1/session", { email, password });
      localStorage.setItem(HINT, "yes");
      await client.invalidateQueries({ queryKey: KEY });
    },
    [client],
  );
  const forget = useCallback(() => {
    localStorage.removeItem(HINT);
    client.setQueryData(KEY, null);
    client.removeQueries({ predicate: ({ queryKey }) => queryKey[0] !== KEY[0] });
  }, [client]);
  const logout = useCallback(async () => {
    await request("DELETE", "/api/v1/session");
    forget();
  }, [forget]);
  return { login, logout, forget };
}

/** Whether the person may do what needs `scope`. */
export function useMay(scope: Scope): boolean {
  return useSession().session?.scopes.includes(scope) ?? false;
}
