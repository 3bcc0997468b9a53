// What the chat says: its own lines as they are, and of the Markdown that models write the little that helps: bold words, code, lists and heads. A link is
// shown as its words and its address, to be read and not followed; nothing in it becomes HTML.

import { Fragment } from 'react';

type Block = { is: 'code' | 'text' | 'head'; text: string } | { is: 'list'; items: string[]; from?: number };

const ITEM = /^\s*(?:[-*\u2022]|(\d{1,3})[.)]) +/;

const blocksOf = (text: string): Block[] => {
  const blocks: Block[] = [];
  let code: string[] | undefined;
  for (const line of text.split('\n')) {
    const last = blocks[blocks.length - 1];
    const head = /^#{1,6} +(.+)$/.exec(line);
    const item = ITEM.exec(line);
    if (/^\s*```/.test(line)) {
      if (code) blocks.push({ is: 'code', text: code.join('\n') });
      code = code ? undefined : [];
    } else if (code) code.push(line);
    else if (head) blocks.push({ is: 'head', text: head[1] ?? '' });
    else if (item) {
      const own = line.slice(item[0].length);
      const from = item[1] === undefined ? undefined : Number(item[1]);
      if (last?.is === 'list' && (last.from === undefined) === (from === undefined)) last.items.push(own);
      else blocks.push({ is: 'list', items: [own], from });
    } else if (last?.is === 'text') last.text += `\n${line}`;
    else if (line.trim() !== '') blocks.push({ is: 'text', text: line });
  }
  // A block of code that isn't closed is one all the same, as while it is still being said.
  if (code) blocks.push({ is: 'code', text: code.join('\n') });
  return blocks;
};

/** Code, bold words and links of a line. */
function Words({ text }: { text: string }) {
  const parts = text.split(/(`[^`\n]+`|\*\*[^*\n]+\*\*|__[^_\n]+__|\[[^\]\n]+\]\([^)\s]+\))/);
  return (
    <>
      {parts.map((part, at) => {
        const link = /^\[([^\]]+)\]\(([^)\s]+)\)$/.exec(part);
        // Parts have no name but their place.
        // eslint-disable-next-line
        if (link) return <Fragment key={at}>{link[1] === link[2] ? link[1] : `${link[1]} (${link[2]})`}</Fragment>;
        if (part.startsWith('`') && part.length > 2) return <code key={at}>{part.slice(1, -1)}</code>;
        if ((part.startsWith('**') || part.startsWith('__')) && part.length > 4) return <b key={at}>{part.slice(2, -2)}</b>;
        return <Fragment key={at}>{part}</Fragment>;
      })}
    </>
  );
}

export function Spoken({ text }: { text: string }) {
  return (
    <>
      {blocksOf(text).map((block, at) => {
        switch (block.is) {
          case 'code':
            return (
              // Blocks have no name but their place.
              // eslint-disable-next-line
              <pre key={at} className="said-code">{block.text}</pre>
            );
          case 'head':
            return (
              <div key={at}>
                <b><Words text={block.text} /></b>
              </div>
            );
          case 'list': {
            const items = block.items.map((item, place) => (
              // eslint-disable-next-line
              <li key={place}>
                <Words text={item} />
              </li>
            ));
            return block.from === undefined ? <ul key={at} className="said-list">{items}</ul> : <ol key={at} className="said-list" start={block.from}>{items}</ol>;
          }
          default:
            return (
              <div key={at}>
                <Words text={block.text.trimEnd()} />
              </div>
            );
        }
      })}
    </>
  );
}
