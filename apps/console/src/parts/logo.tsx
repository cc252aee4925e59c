/** The gate with the water under it. */
export function Logo({ size = 24 }: { size?: number }) {
  return (
    <svg className="logo" width={size} height={size} viewBox="0 0 32 32" fill="none" aria-hidden="true">
      <path d="M8 5v22M24 5v22" stroke="currentColor" strokeWidth="3" strokeLinecap="round" />
      <path d="M8 10h16M8 15h16" stroke="currentColor" strokeWidth="3" />
      <path
        className="logo-water"
        d="M8 22c2.700-2.600 5.300-2.600 8 0s5.300 2.600 8 0"
        strokeWidth="3"
        strokeLinecap="round"
      />
    </svg>
  );
}
