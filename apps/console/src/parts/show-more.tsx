/** Fetches the next page of a list, where there is one. */
export function ShowMore({
  list: { hasNextPage, isFetchingNextPage, fetchNextPage },
  small = false,
}: {
  list: { hasNextPage: boolean; isFetchingNextPage: boolean; fetchNextPage: () => unknown };
  small?: boolean;
}) {
  if (!hasNextPage) return null;
  return (
    <button
      type="button"
      className={small ? "small" : undefined}
      disabled={isFetchingNextPage}
      onClick={() => void fetchNextPage()}
    >
      {isFetchingNextPage ? "Loading …" : "Show more"}
    </button>
  );
}
