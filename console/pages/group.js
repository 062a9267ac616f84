// One group: the ring, whose turn it is, what waits, and what has just happened.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { path, Resource } from '../api.js';
import { on, state, want } from '../store.js';
import { head, panel, table } from '../parts/list.js';
import { isFull, MOST, Ring, stateOf, Strip } from '../parts/ring.js';
import { bytes, group, instead, meter, name, number, plural, rate, stamp } from '../parts/text.js';

/** Steps that the log keeps, and members that a page of the table has. */
const LOG = 60;
const PAGE = 50;

export function open(changed, route) {
  const [share, filter] = route.parts;
  const detail = new Resource(() => path('/v1/groups', share, filter), () => {
    if (!turns && detail.value) count(detail.value.number);
    changed();
  });
  const ring = new Ring();
  const strip = new Strip();
  /** @type {any} */ let turns = null;
  /** @type {any[]} */ let numbers = [];
  /** @type {any[]} */ let log = [];
  /** @type {any[] | null} the log as it is looked at */ let held = null;
  /** @type {any[]} steps that are to be seen with the next frame */ let coming = [];
  let skipped = 0;
  let paused = false;
  let page = 0;

  const count = (number) => numbers.push({ at: performance.now(), number });
  /** Messages a second over the last two seconds. */
  function speed() {
    const now = performance.now();
    while (numbers.length > 2 && numbers[1].at < now - 2000) numbers.shift();
    const [first, last] = [numbers[0], numbers.at(-1)];
    if (!last || first === last || now - last.at > 2500) return 0;
    return Math.max(0, ((last.number - first.number) / (Math.max(now, last.at + 250) - first.at)) * 1000);
  }

  /** The picture; paused, it stays as it is. */
  function picture(value, cursor) {
    const { members, members_total: total } = value;
    const one = total > MOST ? strip : ring;
    if (!paused) {
      const { number, queued } = turns ?? value;
      one.show({ members, cursor, total, number, queued, rate: speed() });
      one.play(coming);
      coming = [];
    }
    return one.element;
  }

  const leave = want('turns', { share, filter });
  detail.refresh();
  const off = on((topic, data) => {
    if (topic === 'restarted') {
      [log, numbers, turns] = [[], [], null];
      detail.refresh();
    }
    // What is in flight changes without the group: acknowledgements come from its members.
    if (topic === 'stats') {
      detail.soon(1000);
      if (state.link === 'slow') turns = null;
    }
    if (topic === 'hello' && log.length) log = [{ event: 'gap', at_ms: Date.now() }, ...log];
    if (topic !== 'turns' || data.share !== share || data.filter !== filter) return;
    turns = data;
    count(data.number);
    skipped += data.skipped;
    log = [...data.steps.toReversed(), ...log].slice(0, LOG);
    detail.soon(detail.value?.members_total > MOST ? 1000 : 250);
    if (paused) return;
    coming = data.steps;
    changed();
  });
  const pause = () => {
    paused = !paused;
    held = paused ? log : null;
    changed();
    return true;
  };
  /** Keeps the log as it is while somebody is at it. */
  const hold = ({ type }) => {
    held = paused || /enter|in$/.test(type) ? (held ?? log) : null;
    changed();
  };
  const turn = (by) => () => {
    page += by;
    changed();
  };

  function history() {
    if (!turns) return state.link === 'slow' ? html`<p class="count">All streams are taken, and steps come with one.</p>` : nothing;
    const all = held ?? log;
    if (!all.length) return html`<p class="count">Nothing has happened since this page opened: messages, and members that come and go.</p>`;
    return html`<ol class="steps-log" tabindex="0" aria-label="What happened, the last first" @pointerenter=${hold} @pointerleave=${hold} @focusin=${hold} @focusout=${hold}>
        ${all.map((step) => html`<li class=${step.event}>${stamp(step.at_ms)} ${say(step)}</li>`)}
      </ol>
      ${skipped ? html`<p class="small">${plural(skipped, 'step')} came too fast to be listed.</p>` : nothing}`;
  }

  function parts(value) {
    const cursor = turns?.exists ? turns.cursor : value.cursor;
    const figures = [
      ['messages', number((turns ?? value).number)],
      ['rate', `${rate(speed())}/s`],
      ['members', `${number(value.members_connected)} of ${number(value.members_total)}`],
      ['queued', number(value.queued), value.queued && 'warn'],
      ['dropped', number(value.dropped), value.dropped && 'bad'],
      ['turn', state.info?.share_strategy],
    ];
    const fresh = held && log.indexOf(held[0]);
    return html`<dl class="figures">${figures.map(([title, figure, kind]) => html`<div class=${kind || ''}><dt>${title}</dt><dd>${figure}</dd></div>`)}</dl>
      ${paused ? html`<p class="note">The picture is paused; the broker is not.</p>` : nothing}
      <div class="group">
        <section class="panel" aria-label="Picture">${picture(value, cursor)} ${waiting(value)}</section>
        <section class="panel log">
          <h2>Log ${fresh ? html`<small>${fresh < 0 ? log.length : fresh} new ↑</small>` : nothing}</h2>
          ${history()}
        </section>
        ${panel('Members', members(value, cursor, page, turn))}
      </div>`;
  }

  return {
    title: `$share/${share}/${filter}`,
    pause,
    back: '/console/groups',
    close() {
      off();
      leave();
      detail.close();
    },
    view() {
      const { value, error } = detail;
      const tool = value && html`<button aria-pressed=${paused} @click=${pause}>${paused ? 'Go on' : 'Pause'}</button>`;
      return html`${head('/console/groups', 'Groups', group(share, filter, 60), tool ?? nothing)}
        ${instead(detail, 'There is no such group now: it begins with its first member and ends with its last.')}
        ${value && error?.status !== 404 ? parts(value) : nothing}`;
    },
  };
}

/** What waits and goes out first. */
function waiting({ head, members, queued }) {
  if (!head) return html`<p class="queue">Nothing waits.</p>`;
  const connected = members.filter((one) => one.connected);
  const why = head.returned
    ? 'came back from a member that is gone'
    : !connected.length
      ? 'no member is connected'
      : connected.every(isFull)
        ? 'all windows are full'
        : 'nobody has taken it yet';
  return html`<p class="queue warn"><strong>${plural(queued, 'message waits', 'messages wait')}.</strong>
    First: #${number(head.number)} ${name(head.topic, 40)}, QoS ${head.qos}, ${bytes(head.payload_size)}; ${why}.</p>`;
}

function members({ members: all, members_total: total }, cursor, page, turn) {
  const pages = Math.ceil(all.length / PAGE);
  const first = Math.min(page, Math.max(0, pages - 1)) * PAGE;
  const shown = all.slice(first, first + PAGE).map((member, at) => ({ ...member, at: first + at }));
  const last = first + shown.length;
  const taken = ({ window, window_taken: taken }) =>
    window === null ? '–' : window > 1000 ? number(taken) : html`${meter(taken, window)} ${number(taken)}/${number(window)}`;
  return html`${table(shown, [
      ['#', ({ at }) => html`${at === cursor ? html`<span class="now" role="img" aria-label="next">▶</span>` : nothing} ${number(at + 1)}`, 'n'],
      ['Client', ({ client_id: id }) => html`<a href=${path('/console/clients', id)} data-row>${name(id, 28)}</a>`, 'row'],
      ['State', (one) => html`<span class="state ${stateOf(one)}">${stateOf(one)}</span>`],
      ['Window', taken],
      ['Delivered', (one) => number(one.delivered), 'n'],
      ['Again', (one) => (one.redelivered ? number(one.redelivered) : '–'), 'n'],
    ])}
    ${pages > 1 || total > last
      ? html`<p class="pager">
          <button ?disabled=${!first} @click=${turn(-1)}>Previous</button>
          <button ?disabled=${last >= all.length} @click=${turn(1)}>Next</button>
          <span>${number(first + 1)} to ${number(last)} of ${plural(total, 'member')}${total > all.length ? `, of which the API shows ${number(all.length)}` : ''}</span>
        </p>`
      : nothing}`;
}

const CHANGES = { join: 'joined', leave: 'left', away: 'lost its connection', back: 'is back' };

function say({ event, client_id: id, number: at, from }) {
  if (event === 'gap') return 'What was in between was not seen';
  if (event === 'pick') return html`#${number(at)} → ${name(id, 20)}`;
  if (event === 'redelivery') return html`#${number(at)} ${from ? name(from, 20) : nothing} ⟶ ${name(id, 20)} <em>again</em>`;
  return html`${name(id, 20)} ${CHANGES[event]}`;
}
