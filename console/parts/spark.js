// @ts-check
// A line of the last minute.

import { html, svg } from '../vendor/lit-html/lit-html.js';

const WIDTH = 120;
const HEIGHT = 32;

/**
 * A sparkline that fills its box. The scale begins at nought and ends at the highest value.
 * @param {number[]} values @param {number} room samples that there is room for
 */
export function spark(values, room) {
  const most = Math.max(1, ...values);
  const points = values.map((value, at) => {
    const x = WIDTH - ((values.length - 1 - at) / (room - 1)) * WIDTH;
    return `${x.toFixed(1)},${(HEIGHT - 2 - (value / most) * (HEIGHT - 5)).toFixed(1)}`;
  });
  const line = points.join(' ');
  const first = points[0]?.split(',')[0] ?? '0';
  return html`<svg class="spark" viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" aria-hidden="true">
    ${points.length > 1
      ? svg`<polygon points="${first},${HEIGHT} ${line} ${WIDTH},${HEIGHT}" /><polyline points=${line} />`
      : svg`<polyline points="0,${HEIGHT - 2} ${WIDTH},${HEIGHT - 2}" />`}
  </svg>`;
}
