// A text editor for JSON and YAML that marks the place an error is about.

import { autocompletion, closeBrackets, type CompletionContext, completionKeymap } from '@codemirror/autocomplete';
import { defaultKeymap, history, historyKeymap } from '@codemirror/commands';
import { json } from '@codemirror/lang-json';
import { yaml } from '@codemirror/lang-yaml';
import { bracketMatching, foldGutter, HighlightStyle, indentOnInput, syntaxHighlighting } from '@codemirror/language';
import { type Diagnostic, lintGutter, setDiagnostics } from '@codemirror/lint';
import { highlightSelectionMatches, searchKeymap } from '@codemirror/search';
import { Compartment, EditorState } from '@codemirror/state';
import { drawSelection, EditorView, highlightActiveLine, keymap, lineNumbers } from '@codemirror/view';
import { tags } from '@lezer/highlight';
import { useEffect, useRef } from 'react';

import type { Offer } from '../lib/advice';
import { nonce } from '../theme';

export interface Mark {
  from: number;
  to: number;
  message: string;
  /** Only advice: whether it is an error, Usher decides. */
  advice?: boolean;
}

const colours = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: 'light-dark(#2a3fae, #a9b8ff)' },
  { tag: [tags.string, tags.content], color: 'light-dark(#1c6b4a, #8fe0bd)' },
  { tag: [tags.number, tags.bool, tags.null], color: 'light-dark(#9a4600, #ffc078)' },
  { tag: tags.comment, color: 'light-dark(#5b6478, #9aa4ba)', fontStyle: 'italic' },
  { tag: tags.keyword, color: 'light-dark(#7a2f9c, #d8a4f0)' },
]);

const look = EditorView.theme({
  '&': { backgroundColor: 'light-dark(#ffffff, #141823)', color: 'light-dark(#1c2333, #dfe5f4)' },
  '.cm-content': { fontFamily: 'var(--mantine-font-family-monospace)', caretColor: 'light-dark(#000, #fff)', paddingBlock: '8px' },
  '.cm-gutters': { backgroundColor: 'light-dark(#f6f8fc, #181d2a)', color: 'light-dark(#5b6478, #9aa4ba)', border: 'none' },
  '.cm-activeLine': { backgroundColor: 'light-dark(#f1f4fd, #1c2231)' },
  '.cm-activeLineGutter': { backgroundColor: 'light-dark(#e7ecfb, #222a3c)' },
  '&.cm-focused .cm-selectionBackground, .cm-selectionBackground': { backgroundColor: 'light-dark(#cfd8fb, #364272) !important' },
  '.cm-tooltip': { backgroundColor: 'light-dark(#fff, #1c2231)', color: 'inherit', border: '1px solid var(--usher-line)' },
});

/**
 * Text that takes the place of a selection is put there by the editor. Browsers would do it with styles of their own in what they put together, which
 * the page's policy refuses.
 */
const overSelection = EditorView.domEventHandlers({
  beforeinput: (event, view) => {
    const { from, to, empty } = view.state.selection.main;
    const text = event.data;
    if (event.inputType !== 'insertText' || empty || view.composing || view.state.readOnly || text === null || !event.cancelable) return false;
    const insert = () => view.state.update(view.state.replaceSelection(text), { userEvent: 'input.type', scrollIntoView: true });
    if (!view.state.facet(EditorView.inputHandler).some((handle) => handle(view, from, to, text, insert))) view.dispatch(insert());
    event.preventDefault();
    return true;
  },
});

interface Props {
  value: string;
  onChange: (text: string) => void;
  language: 'json' | 'yaml';
  label: string;
  marks?: Mark[];
  /** What is offered at a place while one types. */
  offers?: (text: string, at: number) => Offer | undefined;
  readOnly?: boolean;
}

export default function Editor({ value, onChange, language, label, marks, offers, readOnly }: Props) {
  const place = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView>(undefined);
  const speaks = useRef(new Compartment());
  const told = useRef({ onChange, offers });
  told.current = { onChange, offers };

  useEffect(() => {
    if (!place.current) return undefined;
    const complete = (context: CompletionContext) => {
      const offered = told.current.offers?.(context.state.doc.toString(), context.pos);
      // Nothing is offered before somebody begins to write, unless it is asked for.
      if (!offered || (offered.from === context.pos && !context.explicit)) return null;
      return { ...offered, filter: true };
    };
    const made = new EditorView({
      parent: place.current,
      state: EditorState.create({
        doc: value,
        extensions: [
          EditorView.cspNonce.of(nonce),
          overSelection,
          lineNumbers(), foldGutter(), history(), drawSelection(), indentOnInput(), bracketMatching(), closeBrackets(), highlightActiveLine(), highlightSelectionMatches(), lintGutter(),
          autocompletion({ override: [complete] }),
          keymap.of([...completionKeymap, ...defaultKeymap, ...historyKeymap, ...searchKeymap]),
          speaks.current.of(language === 'json' ? json() : yaml()),
          syntaxHighlighting(colours), look,
          EditorView.lineWrapping,
          EditorState.readOnly.of(readOnly === true),
          EditorView.contentAttributes.of({ 'aria-label': label, 'aria-multiline': 'true' }),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) told.current.onChange(update.state.doc.toString());
          }),
        ],
      }),
    });
    view.current = made;
    return () => made.destroy();
    // The editor is made once; what changes later is handed to it below.
    // eslint-disable-next-line
  }, []);

  useEffect(() => {
    const editor = view.current;
    if (editor && editor.state.doc.toString() !== value && !editor.hasFocus) {
      editor.dispatch({ changes: { from: 0, to: editor.state.doc.length, insert: value } });
    }
  }, [value]);
  useEffect(() => {
    view.current?.dispatch({ effects: speaks.current.reconfigure(language === 'json' ? json() : yaml()) });
    const editor = view.current;
    if (editor && editor.state.doc.toString() !== value) {
      editor.dispatch({ changes: { from: 0, to: editor.state.doc.length, insert: value } });
    }
    // Another language comes with its own text.
    // eslint-disable-next-line
  }, [language]);
  useEffect(() => {
    const editor = view.current;
    if (!editor) return;
    const most = editor.state.doc.length;
    const found: Diagnostic[] = (marks ?? []).map((mark) => ({
      from: Math.min(mark.from, most),
      to: Math.min(mark.to, most),
      message: mark.message,
      severity: mark.advice ? 'warning' : 'error',
    }));
    editor.dispatch(setDiagnostics(editor.state, found));
  }, [marks]);

  return <div ref={place} className="editor" />;
}
