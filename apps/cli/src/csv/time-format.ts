const TOKENS: Record<string, string> = {
  YYYY: "(?<YYYY>\\d{4})",
  YY: "(?<YY>\\d{2})",
  MM: "(?<MM>\\d{1,2})",
  DD: "(?<DD>\\d{1,2})",
  HH: "(?<HH>\\d{1,2})",
  mm: "(?<mm>\\d{2})",
  ss: "(?<ss>\\d{2})",
  SSS: "(?<SSS>\\d{1,9})",
};

/**
 * A function that rewrites times such as `27-10-2019 14:05` (format `DD-MM-YYYY HH:mm`) to ISO 8601 without an
 * offset; a cell in another shape comes back as it is. Undefined where the format names no year, month and day.
 */
export function createTimeFormat(format: string): ((cell: string) => string) | undefined {
  const used = new Set<string>();
  const source = format.replaceAll(/YYYY|YY|MM|DD|HH|mm|SSS|ss|[^A-Za-z\d]|[A-Za-z\d]/g, (token) => {
    if (TOKENS[token] && !used.has(token)) {
      used.add(token);
      return TOKENS[token];
    }
    return token.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&").replace(" ", "\\s+");
  });
  if (!(used.has("YYYY") || used.has("YY")) || !used.has("MM") || !used.has("DD")) return undefined;
  const pattern = new RegExp(`^${source}$`);
  return (cell) => {
    const part = pattern.exec(cell.trim())?.groups;
    if (!part) return cell;
    const two = (name: string) => (part[name] ?? "0").padStart(2, "0");
    const year = part.YYYY ?? `20${part.YY}`;
    const fraction = part.SSS ? `.${part.SSS}` : "";
    return `${year}-${two("MM")}-${two("DD")} ${two("HH")}:${two("mm")}:${two("ss")}${fraction}`;
  };
}
