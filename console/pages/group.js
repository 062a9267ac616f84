// @ts-check
// One group: the ring, whose turn it is, what waits, and what has just happened.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { path, Resource } from '../api.js';
import { follow, on, state } from '../store.js';
import { isFull, MOST, Ring, stateOf } from '../parts/ring.js';
import { Strip } from '../parts/strip.js';
import { bytes, failure, group, meter, moment, name, number, plural, rate } from '../parts/text.js';

/** Steps that the log keeps. */
const LOG = 200;
const PAGE = 50;

/** @param {() => void} changed @param {any} route */
export function open(changed, route) {
  const [share, filter] = route.parts;
  const detail = new Resource(() => path('/v1/groups', share, filter), () => {
    if (!turns && detail.value) count(detail.value.number);
    changed();
  });
  const ring = new Ring();
  const strip = new Strip();
  /** @type {any} */ let turns = null;
  /** @type {{ at: number, number: number }[]} */ let numbers = [];
  /** @type {any[]} */ let log = [];
  /** @type {any[] | null} the log as it is looked at */ let held = null;
  /** @type {any[]} steps that are to be seen with the next frame */ let coming = [];
  let skipped = 0;
  let paused = false;
  let page = 0;

  const count = (/** @type {number} */ number) => numbers.push({ at: performance.now(), number });
  /** Messages a second over the last two seconds. */
  function speed() {
    const now = performance.now();
    while (numbers.length > 2 && numbers[1].at < now - 2000) numbers.shift();
    const [first] = numbers;
    const last = numbers.at(-1);
    if (!first || !last || first === last || now - last.at > 2500) return 0;
    return Math.max(0, ((last.number - first.number) / (Math.max(now, last.at + 250) - first.at)) * 1000);
  }

  function draw() {
    const value = detail.value;
    if (!value || paused) return;
    const cursor = turns?.exists ? turns.cursor : value.cursor;
    if (value.members_total <= MOST) {
      ring.show({
        members: value.members,
        cursor,
        number: turns?.number ?? value.number,
        rate: speed(),
        queued: turns?.queued ?? value.queued,
        href: (id) => path('/console/clients', id),
      });
      ring.play(coming);
    } else {
      strip.show({ members: value.members, cursor, total: value.members_total });
      strip.play(coming);
    }
    coming = [];
  }

  follow({ share, filter });
  detail.refresh();
  const off = on((topic, data) => {
    if (topic === 'restarted') {
      log = [];
      numbers = [];
      turns = null;
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
    log = [...data.steps].reverse().concat(log).slice(0, LOG);
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

  return {
    title: `$share/${share}/${filter}`,
    pause,
    back: '/console/groups',
    close() {
      off();
      follow(null);
      detail.close();
    },
    view() {
      draw();
      const value = detail.value;
      const gone = detail.error?.status === 404;
      const hold = (/** @type {boolean} */ on) => {
        held = on || paused ? (held ?? log) : null;
        changed();
      };
      return html`<div class="head">
          <p class="crumb"><a href="/console/groups">Groups</a></p>
          <h1>${group(share, filter, 60)}</h1>
          ${value ? html`<button aria-pressed=${paused} @click=${pause}>${paused ? 'Go on' : 'Pause'}</button>` : nothing}
        </div>
        ${gone ? html`<p class="note">There is no such group now: it begins with its first member and ends with its last.</p>` : detail.error ? failure(detail.error) : nothing}
        ${detail.loading ? html`<p class="note">Loading …</p>` : nothing}
        ${value && !gone
          ? html`<dl class="figures">
                <div><dt>messages</dt><dd>${number(turns?.number ?? value.number)}</dd></div>
                <div><dt>rate</dt><dd>${rate(speed())}/s</dd></div>
                <div><dt>members</dt><dd>${number(value.members_connected)} of ${number(value.members_total)}</dd></div>
                <div class=${value.queued ? 'warn' : ''}><dt>queued</dt><dd>${number(value.queued)}</dd></div>
                <div class=${value.dropped ? 'bad' : ''}><dt>dropped</dt><dd>${number(value.dropped)}</dd></div>
                <div><dt>turn</dt><dd>${state.info?.share_strategy ?? ''}</dd></div>
              </dl>
              ${paused ? html`<p class="note">The picture is paused; the broker is not.</p>` : nothing}
              <div class="group">
                <section class="panel picture" aria-label="Picture">
                  ${value.members_total <= MOST ? ring.element : strip.element} ${head(value)}
                </section>
                <section class="panel log">
                  <h2>Log ${held && held !== log ? html`<small>${fresh(log, held)} new ↑</small>` : nothing}</h2>
                  ${turns ? steps(held ?? log, skipped, hold) : state.link === 'slow' ? html`<p class="calm">All streams are taken, by other windows or by others, and steps come with one.</p>` : nothing}
                </section>
                <section class="panel">
                  <h2>Members</h2>
                  ${members(value, turns?.exists ? turns.cursor : value.cursor, page, (to) => {
                    page = to;
                    changed();
                  })}
                </section>
              </div>`
          : nothing}`;
    },
  };
}

/** How many steps came since. @param {any[]} log @param {any[]} held */
const fresh = (log, held) => {
  const at = held.length ? log.indexOf(held[0]) : log.length;
  return at < 0 ? `${LOG}+` : at;
};

/** What waits and goes out first. @param {any} value */
function head(value) {
  if (!value.head) return html`<p class="queue">Nothing waits.</p>`;
  const { head, members } = value;
  const connected = members.filter((/** @type {any} */ one) => one.connected);
  const why = head.returned
    ? 'came back from a member that is gone'
    : !connected.length
      ? 'no member is connected'
      : connected.every(isFull)
        ? 'all windows are full'
        : 'nobody has taken it yet';
  return html`<p class="queue warn">
    <strong>${plural(value.queued, 'message waits', 'messages wait')}.</strong> First: #${number(head.number)}
    ${name(head.topic, 40)}, QoS ${head.qos}, ${bytes(head.payload_size)}; ${why}.
  </p>`;
}

/** @param {any} value @param {number} cursor @param {number} page @param {(page: number) => void} turn */
function members(value, cursor, page, turn) {
  const all = value.members;
  const pages = Math.ceil(all.length / PAGE);
  page = Math.min(page, Math.max(0, pages - 1));
  const shown = all.slice(page * PAGE, (page + 1) * PAGE);
  return html`<div class="scroll"><table class="list">
      <thead>
        <tr><th scope="col" class="n">#</th><th scope="col">Client</th><th scope="col">State</th><th scope="col">Window</th><th scope="col" class="n">Delivered</th><th scope="col" class="n">Again</th></tr>
      </thead>
      <tbody>
        ${shown.map((/** @type {any} */ member, /** @type {number} */ at) => {
          const number_ = page * PAGE + at;
          return html`<tr class=${number_ === cursor ? 'next' : ''}>
            <td class="n">${number_ === cursor ? html`<span class="now" title="next">▶</span><span class="hidden">next</span>` : nothing} ${number(number_ + 1)}</td>
            <th scope="row"><a href=${path('/console/clients', member.client_id)} data-row>${name(member.client_id, 28)}</a></th>
            <td><span class="state ${stateOf(member)}">${stateOf(member)}</span></td>
            <td>${member.window === null ? '–' : member.window > 1000 ? number(member.window_taken) : html`${meter(member.window_taken, member.window)} ${number(member.window_taken)}/${number(member.window)}`}</td>
            <td class="n">${number(member.delivered)}</td>
            <td class="n">${member.redelivered ? number(member.redelivered) : '–'}</td>
          </tr>`;
        })}
      </tbody>
    </table></div>
    ${pages > 1
      ? html`<p class="pager">
          <button ?disabled=${page === 0} @click=${() => turn(page - 1)}>Previous</button>
          <button ?disabled=${page + 1 >= pages} @click=${() => turn(page + 1)}>Next</button>
          <span>${number(page * PAGE + 1)} to ${number(page * PAGE + shown.length)} of ${number(value.members_total)}</span>
        </p>`
      : nothing}
    ${value.members_total > all.length
      ? html`<p class="small">The API shows the first ${number(all.length)} of ${plural(value.members_total, 'member')}.</p>`
      : nothing}`;
}

/** @param {any[]} log @param {number} skipped @param {(on: boolean) => void} hold */
function steps(log, skipped, hold) {
  if (!log.length)
    return html`<p class="calm">Nothing has happened since this page opened. Messages, and members that come and go, are listed here.</p>`;
  return html`<ol
      class="steps-log"
      tabindex="0"
      aria-label="What happened, the last first"
      @pointerenter=${() => hold(true)}
      @pointerleave=${() => hold(false)}
      @focus=${() => hold(true)}
      @blur=${() => hold(false)}
    >
      ${log.map((step) => html`<li class=${step.event}><time title=${new Date(step.at_ms).toISOString()}>${moment(step.at_ms)}</time> ${say(step)}</li>`)}
    </ol>
    ${skipped ? html`<p class="small">${plural(skipped, 'step')} came too fast to be listed.</p>` : nothing}`;
}

/** @param {any} step */
function say(step) {
  if (step.event === 'gap') return html`What was in between was not seen`;
  const who = name(step.client_id, 20);
  switch (step.event) {
    case 'pick':
      return html`#${number(step.number)} → ${who}`;
    case 'redelivery':
      return html`#${number(step.number)} ${step.from ? name(step.from, 20) : nothing} ⟶ ${who} <em>again</em>`;
    case 'join':
      return html`${who} joined`;
    case 'leave':
      return html`${who} left`;
    case 'away':
      return html`${who} lost its connection`;
    default:
      return html`${who} is back`;
  }
}
