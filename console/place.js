// @ts-check
// A place among the streams of a browser. It has six connections to a broker, for all its windows together: where
// streams take all of them, nothing loads any more, and nothing says why.

/** Streams of all windows together; the other connections are for requests. */
const PLACES = 4;

/**
 * Takes a place, and says how to give it back; `null`: there is none. Where none is free, whoever `steals` takes the
 * last one from its window, which is told by `lost`.
 * @param {boolean} steals @param {() => void} lost @returns {Promise<(() => void) | null>}
 */
export async function takePlace(steals, lost) {
  // Browsers have locks for pages of this machine, and for others over HTTPS.
  if (!navigator.locks) return () => {};
  for (let place = 1; place <= PLACES; place += 1) {
    const options = steals && place === PLACES ? { steal: true } : { ifAvailable: true };
    /** @type {(() => void) | null} */
    const leave = await new Promise((taken) => {
      const held = navigator.locks.request(`stream ${place}`, options, (lock) =>
        lock ? new Promise((leave) => taken(() => leave(null))) : taken(null),
      );
      held.catch(lost);
    });
    if (leave) return leave;
  }
  return null;
}
