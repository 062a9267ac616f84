// Keys, and the list of them. Single letters can be switched off: whoever speaks to a machine says more than one.

import { html, nothing, render } from '../vendor/lit-html/lit-html.js';

/** The pages of the navigation: the key after `g`, where it is, and its title. */
export const PAGES = [
  ['o', '', 'Overview'],
  ['g', 'groups', 'Groups'],
  ['c', 'clients', 'Clients'],
  ['t', 'topics', 'Topics'],
  ['m', 'messages', 'Messages'],
  ['p', 'test', 'Test client'],
  ['i', 'identity', 'Identity'],
  ['s', 'shadows', 'Shadows'],
  ['f', 'faults', 'Faults'],
];

const KEYS = [
  ...PAGES.map(([key, , title]) => [`g ${key}`, title]),
  ['/', 'Filter'],
  ['↓ ↑, j k', 'Next and previous row'],
  ['→ ←', 'Open and close a level'],
  ['Enter', 'Open'],
  ['Esc', 'Back'],
  ['Space', 'Pause the picture'],
  ['?', 'These keys'],
];

const areOn = () => localStorage.getItem('keys') !== 'off';

export function showHelp() {
  const layer = /** @type {HTMLElement} */ (document.getElementById('layer'));
  render(
    html`<dialog aria-labelledby="keys" @close=${() => render(nothing, layer)}>
      <h2 id="keys">Keys</h2>
      <dl class="keys">${KEYS.map(([keys, what]) => html`<div><dt><kbd>${keys}</kbd></dt><dd>${what}</dd></div>`)}</dl>
      <p><label><input type="checkbox" ?checked=${areOn()} @change=${({ target }) => localStorage.setItem('keys', target.checked ? 'on' : 'off')} />
        Single letters are keys</label></p>
      <form method="dialog"><button>Close</button></form>
    </dialog>`,
    layer,
  );
  layer.querySelector('dialog')?.showModal();
}

/** Does what the keys say; `pause` says whether there was something to pause. */
export function listen({ go, back, pause }) {
  /** Until when the key after a `g` names a page. */
  let until = 0;
  document.addEventListener('keydown', (event) => {
    const { key } = event;
    const target = /** @type {HTMLElement} */ (event.target);
    // A dialog has its own Esc.
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || document.querySelector('dialog[open]')) return;
    const isField = target.matches('input, select, textarea');
    if (key === 'Escape') isField && !target.closest('.ask') ? target.blur() : back();
    if (key === 'Escape' || isField) return;
    const page = event.timeStamp < until && PAGES.find(([known]) => known === key);
    const by = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1 }[key];
    if (!areOn() && !key.startsWith('Arrow') && key !== ' ') return;
    until = key === 'g' && !page ? event.timeStamp + 1500 : 0;
    if (page) go(`/console/${page[1]}`);
    else if (key === '/') /** @type {HTMLElement | null} */ (document.querySelector('#page input[type=search]'))?.focus();
    else if (key === '?') showHelp();
    else if (!(by ? move(by) : key === ' ' && !target.matches('button, a, summary') && pause())) return;
    event.preventDefault();
  });
}

/** Moves the focus among the rows of the page; says whether there are any. */
function move(by) {
  const rows = /** @type {HTMLElement[]} */ ([...document.querySelectorAll('#page [data-row]')]);
  const at = rows.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  rows.at(at < 0 && by < 0 ? -1 : Math.min(rows.length - 1, Math.max(0, at + by)))?.focus();
  return rows.length > 0;
}
