/** A JSON object that somebody typed. @throws Error that says what is wrong */
export function parseObject(text: string): object {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text.trim() === "" ? "{}" : text);
  } catch (cause) {
    throw new Error(`This is not JSON: ${(cause as Error).message}`, { cause });
  }
  if (parsed === null || typeof parsed !== "object" || Array.isArray(parsed)) {
    throw new Error('This has to be a JSON object, such as {"on": true}');
  }
  return parsed;
}
