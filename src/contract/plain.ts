/** The text without what a terminal would obey instead of show: errors quote what a sandbox wrote. */
export function plain(text: string): string {
  return text.replace(/[\r\n\t]+/g, ' ').replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '')
}
