// What the console uses of lit-html, for tsc: the file beside it is as it was published, and has no types.

type Tag = (texts: TemplateStringsArray, ...values: unknown[]) => any;

export const html: Tag;
export const svg: Tag;
export const nothing: any;
export function render(view: unknown, into: Element): unknown;
