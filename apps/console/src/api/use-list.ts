import { useQuery } from "@tanstack/react-query";
import { get } from "./request.ts";

/** A list that the api has under `name` at `path`: its items, once they are there. */
export function useList<T>(key: readonly unknown[], path: string, name: string, enabled = true) {
  const { data, error, refetch } = useQuery({
    queryKey: key,
    queryFn: ({ signal }) => get<Record<string, T[]>>(path, signal),
    enabled,
  });
  return { items: data?.[name], error, refetch };
}
