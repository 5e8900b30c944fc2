import { randomBytes } from 'node:crypto'

/** Crockford's base 32 without letters that look like digits: readable, and safe in paths and host names. */
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz'

/** 50 random bits. */
export function newWorkspaceId(): string {
  return `ws-${Array.from(randomBytes(10), (byte) => ALPHABET[byte & 31]).join('')}`
}
