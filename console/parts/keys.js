// @ts-check
// Keys. Single letters can be switched off: whoever speaks to a machine says more than one.

/** @type {Record<string, string>} */
const PAGES = {
  o: '/console/',
  g: '/console/groups',
  c: '/console/clients',
  t: '/console/topics',
  m: '/console/messages',
  p: '/console/test',
  i: '/console/identity',
  s: '/console/shadows',
  f: '/console/faults',
};

export const KEYS = [
  ['g o', 'Overview'],
  ['g g', 'Groups'],
  ['g c', 'Clients'],
  ['g t', 'Topics'],
  ['g m', 'Messages'],
  ['g p', 'Test client'],
  ['g i', 'Identity'],
  ['g s', 'Shadows'],
  ['g f', 'Faults and clock'],
  ['/', 'Filter'],
  ['↓ ↑, j k', 'Next and previous row'],
  ['→ ←', 'Open and close a level'],
  ['Enter', 'Open'],
  ['Esc', 'Back'],
  ['Space', 'Pause the picture'],
  ['?', 'These keys'],
];

export const areOn = () => localStorage.getItem('keys') !== 'off';
/** @param {boolean} on */
export const switchKeys = (on) => localStorage.setItem('keys', on ? 'on' : 'off');

/**
 * Listens to the keyboard.
 * @param {{ go: (path: string) => void, back: () => void, help: () => void, pause: () => boolean }} does
 */
export function listen(does) {
  let first = '';
  let timer = 0;
  document.addEventListener('keydown', (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    // A dialog has its own Esc.
    if (document.querySelector('dialog[open]')) return;
    const isField = target.matches('input, select, textarea');
    if (event.key === 'Escape') {
      if (isField && !target.closest('.ask')) target.blur();
      else does.back();
      return;
    }
    if (isField) return;
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      if (move(event.key === 'ArrowDown' ? 1 : -1)) event.preventDefault();
      return;
    }
    if (event.key === ' ' && !target.matches('button, a, summary') && does.pause()) {
      event.preventDefault();
      return;
    }
    if (!areOn()) return;
    const was = first;
    first = '';
    clearTimeout(timer);
    if (was === 'g' && PAGES[event.key]) {
      event.preventDefault();
      does.go(PAGES[event.key]);
    } else if (event.key === 'g') {
      first = 'g';
      timer = window.setTimeout(() => (first = ''), 1500);
    } else if (event.key === '/') {
      const field = /** @type {HTMLElement | null} */ (document.querySelector('#page input[type=search]'));
      field?.focus();
      event.preventDefault();
    } else if (event.key === '?') {
      event.preventDefault();
      does.help();
    } else if (event.key === 'j' || event.key === 'k') {
      move(event.key === 'j' ? 1 : -1);
    }
  });
}

/** Moves the focus among the rows of the page. @param {number} by */
function move(by) {
  const rows = /** @type {HTMLElement[]} */ ([...document.querySelectorAll('#page [data-row]')]);
  if (!rows.length) return false;
  const at = rows.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  const next = at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + by));
  rows[next].focus();
  return true;
}
