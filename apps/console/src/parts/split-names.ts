/** Names or ids that somebody wrote with commas or spaces between. */
export const splitNames = (text: string): string[] => text.split(/[\s,]+/).filter((name) => name !== "");
