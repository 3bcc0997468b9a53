// Advice of Usher's that names a command, in the words of this console: whoever reads it here has a page for that.

import { t } from '../texts';

/** A command in backticks or quotes, or bare where it stands alone, with what it is given. */
const COMMAND = /[`“]usher ([a-z]+(?: [a-z]+)?)[^`”]*[`”]|\busher (approve|undo) [\w<>-]+/g;

/** The same sentence without commands that have a page here; others stay as they are. */
export const here = (sentence: string): string =>
  sentence.replace(COMMAND, (whole: string, quoted: string | undefined, bare: string | undefined) => {
    const words = quoted ?? bare ?? '';
    return t.here[words] ?? t.here[words.split(' ')[0] ?? ''] ?? whole;
  });
