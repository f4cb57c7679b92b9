// @ts-check
/**
 * Tallystick for browsers, Node and WeChat mini programs. An ES module without dependencies; no build
 * step. Served by every authorization server at /sdk/tallystick.js:
 *
 *     import { createClient, webStorage } from 'https://auth.example.com/sdk/tallystick.js'
 *
 *     const client = createClient({
 *       issuer: 'https://auth.example.com', clientId: 'shop-web', terminal: 'browser',
 *       store: webStorage(sessionStorage),
 *       onEnded: (end) => showSignIn(end.reason, end.supersededBy),
 *     })
 *     await client.signIn('tom', password)
 *     const answer = await client.fetch('https://auth.example.com/v1/wallet')
 *
 * What it promises is what the Go client promises:
 *
 *  - Tokens are refreshed ahead of their expiry and when a server says "expired", once for any number of
 *    concurrent requests, and once for all tabs that share a sign-in.
 *  - A request refused because its token had expired is sent once more, never twice.
 *  - When the session has ended, every request rejects with an EndedError that says why, onEnded is called
 *    once, and nothing is sent until the next sign-in. Code 2 (superseded, kicked, …) is for the user to
 *    be told; signing in again by itself would throw the other device out.
 *  - A good sign-in is never thrown away because a server is away: 503, 429, 5xx and a broken connection leave
 *    it, and refreshing backs off (1 to 30 seconds, or as Retry-After says, up to 10 minutes).
 *  - Access tokens go to the issuer and to `apis`, nowhere else. Redirects are errors unless the request
 *    itself asks for them to be followed.
 *  - Life is counted from expires_in on a monotonic clock where there is one.
 *  - Tokens are held in a closure: printing the client shows none.
 *
 * Where a sign-in is kept. In memory by default: it is gone with the page, and there is nothing to steal
 * from a disk. webStorage(sessionStorage) survives a reload and ends with the tab. webStorage(localStorage) is
 * possible and not the default: it outlives the tab and the visit, on shared computers too, and one
 * injected script anywhere on the origin, at any later time, can carry the refresh token away.
 *
 * Several tabs. With a store, tabs of one origin refresh under a Web Lock and tell each other over a
 * BroadcastChannel, where the browser has these. What slips through is covered by the server, which gives the same
 * answer to the same refresh token for ten seconds.
 *
 * Mini programs. They load no scripts from the network: keep a copy of this file in the project
 * (curl -O https://auth.example.com/sdk/tallystick.js), where its import statement works as it is; there is no
 * UMD copy beside it to fall behind. Use wxAdapter(wx) and wxStorage(wx), and name the issuer in the
 * program's request domains. The file uses nothing beyond ES2018: no URL, no fetch, no TextDecoder, no
 * private fields. wx.request knows no PATCH.
 */

/** What an application is. @typedef {Object} Options
 * @property {string} issuer the authorization server, such as https://auth.example.com
 * @property {string} clientId
 * @property {string} [product] of a sign-in; the client's default where empty
 * @property {'mobile'|'browser'|'api'} [terminal] of a sign-in; the client's default where empty
 * @property {string} [deviceId]
 * @property {string} [deviceName]
 * @property {string} [scope] names with spaces between; all that the client may have where empty
 * @property {string[]} [apis] origins beside the issuer that tokens may be sent to
 * @property {Store} [store] keeps the sign-in; memory where empty
 * @property {Adapter} [adapter] sends requests; fetch where empty
 * @property {(end: EndedError) => void} [onEnded] told once when a session ends without this page's doing
 * @property {() => number} [now] a monotonic clock in milliseconds, for tests
 */

/** Keeps a text. Each method may return a promise. @typedef {Object} Store
 * @property {() => (string|null|Promise<string|null>)} load
 * @property {(text: string|null) => (void|Promise<void>)} save null to forget
 * @property {boolean} [shared] whether other tabs see what is saved here
 */

/** A request for an adapter. @typedef {Object} Sent
 * @property {string} url
 * @property {string} method
 * @property {Object<string, string>} headers
 * @property {*} [body]
 * @property {number} [timeout] milliseconds
 * @property {*} [native] what the application gave to client.fetch besides
 */

/** An answer. It is a Response where the adapter is fetch. @typedef {Object} Answer
 * @property {number} status
 * @property {boolean} ok
 * @property {{get: (name: string) => string|null}} headers
 * @property {() => Promise<string>} text
 * @property {() => Promise<*>} json
 * @property {() => Answer} clone
 */

/** Sends requests. @typedef {(request: Sent) => Promise<*>} Adapter */

/** Who signed in. @typedef {Object} Session
 * @property {string} id
 * @property {string} product
 * @property {string} terminal
 * @property {number} version
 * @property {string} scope
 * @property {*} [loginData] what whoever issued a login token gave along, in the answer to signInWithLoginToken alone; their word, not the server's
 */

/** @typedef {Object} Held
 * @property {number} epoch
 * @property {number} rotations
 * @property {string} access
 * @property {string} refresh
 * @property {Session} session
 * @property {number} life milliseconds
 * @property {number} since
 * @property {number} renewAt
 * @property {number} staleAt
 */

/** An error of this module; `name` tells which. */
export class TallystickError extends Error {
  /** @param {string} name @param {string} message */
  constructor(name, message) {
    super(message)
    this.name = name
  }
}

/** The session has ended. It holds until the next sign-in. */
export class EndedError extends TallystickError {
  /** @param {{reason?: string, code?: number, superseded_by?: *}} told @param {string} sessionId */
  constructor(told, sessionId) {
    super('EndedError', 'the session has ended' + (told.reason ? ': ' + told.reason : ''))
    /** expired, superseded, kicked, evicted, signed_out, password_changed, banned, reuse_detected; '' if the server did not say */
    this.reason = told.reason || ''
    /** 1: sign in again, nobody else is involved. 2: go to the sign-in page and tell the user why. */
    this.code = told.code === 2 ? 2 : 1
    /** @type {{terminal: string, device_name: string, at: string}|null} */
    this.supersededBy = told.superseded_by || null
    this.sessionId = sessionId
  }
}

/** The access token has expired and cannot be refreshed at the moment. The sign-in is still good. */
export class UnavailableError extends TallystickError {
  /** @param {number} retryAfter seconds @param {*} cause */
  constructor(retryAfter, cause) {
    super('UnavailableError', 'the access token cannot be refreshed at the moment: ' + (cause && cause.message))
    this.retryAfter = retryAfter
    this.cause = cause
  }
}

/** The authorization server refused (RFC 6749 section 5.2). */
export class OAuthError extends TallystickError {
  /** @param {number} status @param {*} body @param {number} retryAfter seconds @param {string} requestId */
  constructor(status, body, retryAfter, requestId) {
    super('OAuthError', 'refused with ' + status + (body.error ? ' ' + body.error : '') + (body.error_description ? ': ' + body.error_description : ''))
    this.status = status
    this.error = String(body.error || '')
    this.description = String(body.error_description || '')
    this.reason = String(body.reason || '')
    this.code = typeof body.code === 'number' ? body.code : 0
    this.supersededBy = body.superseded_by || null
    this.retryAfter = retryAfter
    this.requestId = requestId
  }
}

const DEVICE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code'
const LOGIN_TOKEN_GRANT = 'urn:tallystick:grant-type:login-token'
const WECHAT_GRANT = 'urn:tallystick:grant-type:wechat-mini-program'

const TRIES = 3 // of one refresh, all within the ten seconds in which the server gives the same answer
const TRY_WITHIN = 4000
const REPLAY = 9000
const REQUEST_WITHIN = 30000
const LONGEST_PAUSE = 30000
const LONGEST_RETRY_AFTER = 600 // seconds
const PEERS_WITHIN = 60 // for another tab to say that it has refreshed already
const MOST_BODY = 1 << 20

/**
 * Makes a client. Its methods are functions: they may be taken apart and passed on.
 * @param {Options} options
 */
export function createClient(options) {
  const issuer = String(options.issuer || '').replace(/\/+$/, '')
  if (!originOf(issuer)) throw new TypeError('issuer must be an address such as https://auth.example.com')
  if (!options.clientId) throw new TypeError('clientId is missing')
  /** @type {Object<string, boolean>} */
  const origins = {}
  for (const api of [issuer].concat(options.apis || [])) {
    const origin = originOf(api)
    if (!origin || !isPrivate(origin)) throw new TypeError(api + ' is not an https address (http is for loopback)')
    origins[origin] = true
  }
  const adapter = options.adapter || fetchAdapter()
  const store = options.store || memoryStore()
  const now = options.now || clock()
  const name = 'tallystick ' + issuer + ' ' + options.clientId

  /** @type {Held|null} */ let held = null
  /** @type {EndedError|null} */ let ended = null
  let epoch = 0
  /** @type {Promise<Held>|null} */ let flight = null
  let failures = 0
  let notBefore = -Infinity
  /** @type {*} */ let lastError = null
  /** @type {Promise<void>|null} */ let loaded = null
  let closed = false

  /** @type {*} */
  let channel = null
  if (options.store && typeof BroadcastChannel === 'function') {
    channel = new BroadcastChannel(name)
    channel.onmessage = (/** @type {*} */ e) => hear(e.data)
    if (typeof channel.unref === 'function') channel.unref() // a program of Node may end
  }

  // --- what is held ---------------------------------------------------------------------------

  /** @param {*} a @param {number} rotations @returns {Held} */
  function take(a, rotations) {
    const session = { id: a.session_id || '', product: a.product || '', terminal: a.terminal || '', version: a.version || 0, scope: a.scope || '' }
    return plan({ epoch, rotations, access: a.access_token, refresh: a.refresh_token || '', session, life: a.expires_in * 1000, since: now(), renewAt: 0, staleAt: 0 })
  }

  /** Chooses when a pair is refreshed: at random, so that many clients do not come at once. @param {Held} h */
  function plan(h) {
    h.renewAt = h.since + h.life * (0.7 + 0.2 * Math.random())
    h.staleAt = h.since + h.life
    return h
  }

  /** @param {Held} h */
  function pack(h) {
    return JSON.stringify({
      format: 1, issuer, client_id: options.clientId, access_token: h.access, refresh_token: h.refresh, life: h.life,
      saved_at: Date.now() - (now() - h.since), rotations: h.rotations, session: h.session,
    })
  }

  /** @param {string|null} text @returns {Held|null} */
  function unpack(text) {
    let s
    try { s = text && JSON.parse(text) } catch (e) { return null }
    if (!s || s.format !== 1 || s.issuer !== issuer || s.client_id !== options.clientId || !s.access_token) return null
    // The wall clock may have been changed in between: a pair from the future is refreshed first.
    let age = Date.now() - s.saved_at
    if (!(age >= 0 && age <= s.life)) age = s.life
    return plan({
      epoch, rotations: s.rotations, access: s.access_token, refresh: s.refresh_token, session: s.session, life: s.life,
      since: now() - age, renewAt: 0, staleAt: 0,
    })
  }

  function load() {
    if (!loaded) {
      loaded = Promise.resolve(store.load()).then((text) => {
        if (held || epoch) return // signed in meanwhile
        held = unpack(text)
      })
    }
    return loaded
  }

  /** @param {Held} other @param {Held} mine */
  function newer(other, mine) {
    return other.session.id !== mine.session.id || other.rotations > mine.rotations
  }

  /** @param {*} a */
  async function begin(a) {
    await load()
    epoch++
    hold(take(a, 0))
    const h = /** @type {Held} */ (held)
    await store.save(pack(h))
    return Object.assign({}, h.session)
  }

  /** @param {Held} h */
  function hold(h) {
    held = h
    ended = null
    failures = 0
    notBefore = -Infinity
    lastError = null
  }

  /**
   * Notes that the session of a pair has ended, and tells the application if this is news.
   * @param {Held} h @param {EndedError} e @param {boolean} [heard] from another tab
   */
  function end(h, e, heard) {
    if (!held || held.epoch !== h.epoch) {
      return ended && ended.sessionId === e.sessionId ? ended : e // of a session before: news to one request alone
    }
    held = null
    ended = e
    if (!heard) {
      forget(h).catch(() => {}) // what a storage that fails still holds is dead
      tell({ type: 'ended', session: e.sessionId, told: { reason: e.reason, code: e.code, superseded_by: e.supersededBy } })
    }
    const onEnded = options.onEnded
    if (onEnded) Promise.resolve().then(() => onEnded(e))
    return e
  }

  /** Empties the store, unless another tab has signed in anew meanwhile. @param {Held} gone */
  async function forget(gone) {
    const other = store.shared ? unpack(await store.load()) : null
    if (!other || other.session.id === gone.session.id) await store.save(null)
  }

  // --- other tabs -----------------------------------------------------------------------------

  /** @param {*} message */
  function tell(message) {
    if (channel && !closed) channel.postMessage(message)
  }

  /** @type {((h: Held) => void)|null} */
  let awaited = null

  /** @param {*} message */
  function hear(message) {
    if (!message || !held || message.session !== held.session.id) return
    if (message.type === 'ended') {
      end(held, new EndedError(message.told || {}, message.session), true)
    } else if (message.type === 'asks' && held.rotations > message.rotations) {
      tell({ type: 'pair', session: held.session.id, text: pack(held) })
    } else if (message.type === 'pair') {
      const other = unpack(message.text)
      if (!other || !newer(other, held)) return
      other.epoch = epoch
      hold(other)
      if (!store.shared) store.save(pack(other)) // what other tabs keep is not what a reload finds here
      if (awaited) awaited(other)
    }
  }

  /** Asks other tabs for a newer pair of this session; they have a moment. @param {Held} h @returns {Promise<void>} */
  function askPeers(h) {
    if (!channel || closed) return Promise.resolve()
    return new Promise((done) => {
      const timer = setTimeout(finish, PEERS_WITHIN)
      function finish() {
        clearTimeout(timer)
        awaited = null
        done(undefined)
      }
      awaited = finish
      tell({ type: 'asks', session: h.session.id, rotations: h.rotations })
    })
  }

  /** @template T @param {() => Promise<T>} f @returns {Promise<T>} */
  function alone(f) {
    const locks = options.store && typeof navigator === 'object' && navigator && navigator.locks
    return locks ? /** @type {*} */ (locks.request(name, f)) : f()
  }

  // --- refreshing -----------------------------------------------------------------------------

  /**
   * A pair whose access token is good now. A pair that a server has just called expired is not.
   * @param {Held} [refused] @returns {Promise<Held>}
   */
  async function good(refused) {
    await load()
    if (closed) throw new TallystickError('ClosedError', 'the client is closed')
    if (ended) throw ended
    if (!held) throw new TallystickError('SignedOutError', 'nobody is signed in')
    if (refused && refused.epoch !== held.epoch) throw new EndedError({ reason: 'signed_out', code: 1 }, refused.session.id)
    const t = now()
    const h = held
    const fine = t < h.staleAt && !(refused && refused.access === h.access)
    if (fine && t < h.renewAt) return h
    if (!h.refresh) {
      if (fine) return h
      throw end(h, new EndedError({ reason: 'expired', code: 1 }, h.session.id))
    }
    if (!flight && t >= notBefore) {
      flight = fly(h, refused)
      const gone = () => { flight = null }
      flight.then(gone, gone)
    }
    if (fine) return h
    if (flight) return flight
    throw new UnavailableError((notBefore - t) / 1000, lastError)
  }

  /** One refresh, for whoever waits. @param {Held} from @param {Held} [refused] @returns {Promise<Held>} */
  async function fly(from, refused) {
    let next
    try {
      next = await alone(() => advance(from, refused))
    } catch (e) {
      if (e instanceof EndedError) throw end(from, e)
      if (!held || held.epoch !== from.epoch) throw ended || e
      throw backOff(e)
    }
    return next
  }

  /** @param {*} e */
  function backOff(e) {
    let pause = Math.min(LONGEST_PAUSE, 1000 * Math.pow(2, failures)) * (0.5 + 0.5 * Math.random())
    if (e instanceof OAuthError) pause = Math.max(pause, e.retryAfter * 1000)
    failures = Math.min(failures + 1, 10)
    notBefore = now() + pause
    lastError = e
    return new UnavailableError(pause / 1000, e)
  }

  /** @param {Held} from @param {Held} [refused] @returns {Promise<Held>} */
  async function advance(from, refused) {
    const usable = (/** @type {Held} */ h) => now() < h.renewAt && !(refused && refused.access === h.access)
    await askPeers(from)
    if (held && held.epoch === from.epoch && newer(held, from)) {
      if (usable(held)) return held
      from = held
    }
    if (store.shared) {
      const other = unpack(await store.load())
      if (other && newer(other, from)) {
        other.epoch = from.epoch
        if (usable(other)) return adopt(from, other)
        from = other
      }
    }
    const a = await persist({ grant_type: 'refresh_token', refresh_token: from.refresh }, from)
    if (!a.refresh_token) a.refresh_token = from.refresh
    if (!a.session_id) a.session_id = from.session.id
    const next = take(a, from.rotations + 1)
    next.epoch = from.epoch
    adopt(from, next)
    try {
      await store.save(pack(next))
    } catch (e) { /* the storage is full or closed: the sign-in goes on in memory */ }
    tell({ type: 'pair', session: next.session.id, text: pack(next) })
    return next
  }

  /** @param {Held} from @param {Held} next */
  function adopt(from, next) {
    if (!held || held.epoch !== from.epoch) throw new EndedError({ reason: 'signed_out', code: 1 }, from.session.id)
    hold(next)
    return next
  }

  /**
   * Asks for a pair again at once if the answer was lost, or may have been.
   * @param {Object<string, string>} form @param {Held} from
   */
  async function persist(form, from) {
    const began = now()
    let pause = 100
    for (let tried = 1; ; tried++) {
      try {
        return await exchange(form, TRY_WITHIN)
      } catch (e) {
        if (e instanceof OAuthError) {
          if (e.error === 'invalid_grant') throw new EndedError({ reason: e.reason, code: e.code, superseded_by: e.supersededBy }, from.session.id)
          if (e.status !== 500 && e.status !== 502 && e.status !== 504) throw e
        }
        if (tried === TRIES || now() - began + pause > REPLAY || closed) throw e
      }
      await sleep(pause * (0.5 + Math.random()))
      pause *= 4
    }
  }

  // --- the endpoints --------------------------------------------------------------------------

  /** @param {string} path @param {Object<string, string>} form @param {number} [timeout] @returns {Promise<*>} */
  async function post(path, form, timeout) {
    return sent(path, 'application/x-www-form-urlencoded', encode(Object.assign({ client_id: options.clientId }, form)), timeout)
  }

  /** @param {string} path @param {*} body @returns {Promise<*>} */
  function postJSON(path, body) {
    return sent(path, 'application/json', JSON.stringify(body))
  }

  /** @param {string} path @param {string} type @param {string} content @param {number} [timeout] @returns {Promise<*>} */
  async function sent(path, type, content, timeout) {
    const answer = await adapter({
      url: issuer + path, method: 'POST', timeout: timeout || REQUEST_WITHIN,
      headers: { 'Content-Type': type, Accept: 'application/json' }, body: content,
    })
    const text = await answer.text()
    let body = {}
    try { body = (text.length <= MOST_BODY && text && JSON.parse(text)) || {} } catch (e) { /* a proxy's page says nothing */ }
    if (answer.status !== 200 && answer.status !== 204) throw new OAuthError(answer.status, body, retryAfter(answer), answer.headers.get('x-request-id') || '')
    return body
  }

  /** @param {Object<string, string>} form @param {number} [timeout] @returns {Promise<*>} */
  async function exchange(form, timeout) {
    const a = await post('/oauth2/token', form, timeout)
    if (typeof a.access_token !== 'string' || !(a.expires_in > 0)) {
      throw new TallystickError('TallystickError', 'the token endpoint answered without an access token or its life')
    }
    return a
  }

  /** @param {Object<string, string>} grant */
  function signInForm(grant) {
    /** @type {Object<string, string>} */
    const form = {}
    const all = Object.assign({
      product: options.product, terminal: options.terminal, device_id: options.deviceId, device_name: options.deviceName, scope: options.scope,
    }, grant)
    for (const key of Object.keys(all)) if (all[key]) form[key] = all[key]
    return form
  }

  /** @param {Object<string, string>} grant @returns {Promise<Session>} */
  async function signInBy(grant) {
    const answer = await exchange(signInForm(grant))
    const session = await begin(answer)
    return 'login_data' in answer ? Object.assign(session, { loginData: answer.login_data }) : session
  }

  return {
    /**
     * Signs in with a name and a password. Like every sign-in it asks once, replaces the sign-in before it,
     * and rejects with an OAuthError if it is refused.
     * @param {string} username @param {string} password
     */
    signIn: (username, password) => signInBy({ grant_type: 'password', username, password }),

    /** Signs in with what a signed-in device gave away. It is good once. What that gave along is loginData of the answer, and is kept nowhere. @param {string} loginToken */
    signInWithLoginToken: (loginToken) => signInBy({ grant_type: LOGIN_TOKEN_GRANT, login_token: loginToken }),

    /** Signs in with the code of wx.login. @param {string} code */
    signInWithWeChat: (code) => signInBy({ grant_type: WECHAT_GRANT, code }),

    /**
     * Has a code shown and waits until the user has approved it on a signed-in device (RFC 8628). `onCode`
     * gets the server's answer: user_code, verification_uri, qr_svg, confirmation, expires_in and what else it
     * says. A server of ours replaces the public code each minute until somebody has scanned it: then onCode is
     * called again, with what to show from then on.
     * Rejects with an OAuthError access_denied or expired_token. `stopped`, asked before each poll, ends it, and the
     * server is told that nobody waits any more.
     * @param {{onCode: (code: *) => void, stopped?: () => boolean}} o
     * @returns {Promise<Session>}
     */
    async signInWithDevice(o) {
      const asked = await post('/oauth2/device_authorization', signInForm({}))
      const held = { device_code: asked.device_code }
      let shown = Object.assign({}, asked)
      delete shown.device_code // whoever has it collects the tokens
      const until = now() + Math.min(asked.expires_in, 3600) * 1000
      let turnAt = asked.qr_expires_in >= 0 ? now() + asked.qr_expires_in * 1000 : Infinity
      async function turn() {
        if (now() < turnAt) return
        let next
        try {
          next = await postJSON('/v1/device/status', held)
        } catch (e) {
          // How it ended is for the token endpoint to say; a server that is away is asked again.
          if (e instanceof OAuthError && e.status < 500 && e.status !== 429) turnAt = Infinity
          return
        }
        if (!next.user_code) { // scanned: what is shown does not matter any more
          turnAt = Infinity
          return
        }
        turnAt = now() + next.qr_expires_in * 1000
        if (next.user_code === shown.user_code) return
        delete next.state
        shown = Object.assign({}, shown, next)
        o.onCode(shown)
      }
      try {
        o.onCode(shown)
        let interval = (asked.interval > 0 ? asked.interval : 5) * 1000
        while (now() + interval < until) {
          await sleep(interval)
          if (closed || (o.stopped && o.stopped())) throw new TallystickError('StoppedError', 'the sign-in was stopped')
          let answer
          try {
            answer = await exchange({ grant_type: DEVICE_GRANT, device_code: asked.device_code })
          } catch (e) {
            if (e instanceof OAuthError && e.error === 'slow_down') interval += 5000
            else if (e instanceof OAuthError && e.status < 500 && e.status !== 429 && e.error !== 'authorization_pending') throw e
            else if (!(e instanceof OAuthError) || e.error !== 'authorization_pending') interval = Math.min(2 * interval, 60000) // away: RFC 8628 section 3.5 asks to slow down
            if (e instanceof OAuthError) interval = Math.max(interval, e.retryAfter * 1000)
          }
          if (answer) return await begin(answer)
          await turn()
        }
      } catch (e) {
        if (!(e instanceof OAuthError)) await postJSON('/v1/device/cancel', held).catch(() => {}) // or it expires by itself
        throw e
      }
      throw new OAuthError(400, { error: 'expired_token', error_description: 'nobody answered in time' }, 0, '')
    },

    /** Forgets the sign-in and tells the server, which ends the session. onEnded is not called here. */
    async signOut() {
      await load()
      const h = held
      held = null
      ended = null
      epoch++
      if (!h) return
      tell({ type: 'ended', session: h.session.id, told: { reason: 'signed_out', code: 1 } })
      await forget(h)
      await post('/oauth2/revoke', { token: h.refresh || h.access })
    },

    /** Who is signed in; null if nobody. @returns {Promise<Session|null>} */
    async session() {
      await load()
      return held ? Object.assign({}, held.session) : null
    },

    /** An access token that is good now, for what is not a request: a WebSocket, say. @returns {Promise<string>} */
    token: async () => (await good()).access,

    /**
     * fetch, with the access token. With fetch as the adapter it takes what fetch takes and gives a Response;
     * with wx.request it takes a URL and {method, headers, body} and gives an Answer. A body that is a
     * stream cannot be sent again: if its token had expired the request rejects with NotReplayableError.
     * @param {*} input @param {*} [init] @returns {Promise<*>}
     */
    async fetch(input, init) {
      const request = typeof input === 'string' ? input : input.url || String(input)
      const target = absolute(request)
      if (!origins[originOf(target)]) {
        throw new TypeError('no access token is sent to ' + originOf(target) + ': add it to apis, or use fetch itself')
      }
      const copy = typeof input === 'object' && typeof input.clone === 'function' ? input.clone() : null
      const first = await good()
      const answer = await send(target, input, init, first)
      if (!(await judge(answer, first))) return answer
      const next = await good(first)
      if (init && init.body && typeof init.body.getReader === 'function') {
        throw new TallystickError('NotReplayableError', 'the access token had expired and the body of the request cannot be sent again; make the request anew')
      }
      const again = await send(target, copy || input, init, next)
      await judge(again, next)
      return again
    },

    /** Ends what runs for the client. The sign-in stays what it is. */
    close() {
      closed = true
      if (channel) channel.close()
    },
  }

  /** @param {string} url @param {*} input @param {*} init @param {Held} h */
  function send(url, input, init, h) {
    const i = init || {}
    const from = typeof input === 'object' && input.headers ? input : null
    const headers = Object.assign(plainHeaders(from && !i.headers ? from.headers : i.headers), { Authorization: 'Bearer ' + h.access })
    return adapter({ url, method: i.method || (from && from.method) || 'GET', headers, body: i.body, native: { input, init: i } })
  }

  /** Says whether an answer asks for the request again; rejects if it tells that the session has ended. @param {Answer} answer @param {Held} h */
  async function judge(answer, h) {
    if (answer.status !== 401 || !/^application\/json/.test(answer.headers.get('content-type') || '')) return false
    let told
    try { told = JSON.parse(await answer.clone().text()) } catch (e) { return false }
    if (!told || told.error !== 'invalid_token' || !told.reason) return false
    if (told.reason === 'expired') return true
    throw end(h, new EndedError(told, h.session.id))
  }
}

// --- adapters ---------------------------------------------------------------------------------

/**
 * Sends with fetch.
 * @param {*} [fetcher] the global one where empty
 * @returns {Adapter}
 */
export function fetchAdapter(fetcher) {
  const f = fetcher || (typeof fetch === 'function' ? fetch : null)
  if (!f) throw new TypeError('there is no fetch here; pass an adapter, such as wxAdapter(wx)')
  return (r) => {
    if (r.native) {
      // Of an application: its own settings, and a redirect followed only if it said so.
      const init = Object.assign({ redirect: 'error' }, r.native.init, { headers: r.headers })
      return f(r.native.input, init)
    }
    const abort = typeof AbortController === 'function' ? new AbortController() : null
    const timer = abort && setTimeout(() => abort.abort(), r.timeout)
    const sent = f(r.url, {
      method: r.method, headers: r.headers, body: r.body, signal: abort ? abort.signal : undefined,
      credentials: 'omit', cache: 'no-store', redirect: 'error', referrerPolicy: 'no-referrer',
    })
    // The body is read within the time as well.
    return sent.then((/** @type {*} */ a) => a.text().then((/** @type {string} */ text) => plainAnswer(a.status, (n) => a.headers.get(n), text)))
      .then((/** @type {*} */ a) => { if (timer) clearTimeout(timer); return a }, (/** @type {*} */ e) => { if (timer) clearTimeout(timer); throw e })
  }
}

/**
 * Sends with wx.request.
 * @param {*} wx
 * @returns {Adapter}
 */
export function wxAdapter(wx) {
  return (r) => new Promise((resolve, reject) => {
    const init = (r.native && r.native.init) || {}
    wx.request({
      url: r.url, method: r.method, header: r.headers, data: r.body, timeout: r.timeout || init.timeout || REQUEST_WITHIN,
      dataType: 'text', responseType: 'text', // or answers would be parsed, and refused when they are not JSON
      redirect: 'manual',
      success: (/** @type {*} */ res) => {
        /** @type {Object<string, string>} */
        const headers = {}
        for (const key of Object.keys(res.header || {})) headers[key.toLowerCase()] = String(res.header[key])
        const name = (/** @type {string} */ n) => (n.toLowerCase() in headers ? headers[n.toLowerCase()] : null)
        resolve(plainAnswer(res.statusCode, name, typeof res.data === 'string' ? res.data : JSON.stringify(res.data)))
      },
      fail: (/** @type {*} */ e) => reject(new TallystickError('NetworkError', (e && e.errMsg) || 'request:fail')),
    })
  })
}

// --- stores -----------------------------------------------------------------------------------

/** Keeps a sign-in as long as the page. @returns {Store} */
export function memoryStore() {
  /** @type {string|null} */
  let kept = null
  return { load: () => kept, save: (text) => { kept = text } }
}

/**
 * Keeps a sign-in in a Web Storage: sessionStorage, or with the risk described above localStorage.
 * @param {Storage} storage @param {string} [key]
 * @returns {Store}
 */
export function webStorage(storage, key) {
  const at = key || 'tallystick'
  return {
    load: () => storage.getItem(at),
    save: (text) => { if (text === null) storage.removeItem(at); else storage.setItem(at, text) },
    shared: typeof localStorage === 'object' && storage === localStorage,
  }
}

/**
 * Keeps a sign-in in the storage of a mini program, which is the user's and the program's own, encrypted where
 * the platform can.
 * @param {*} wx @param {string} [key]
 * @returns {Store}
 */
export function wxStorage(wx, key) {
  const at = key || 'tallystick'
  return {
    load: () => wx.getStorageSync(at) || null,
    save: (text) => { if (text === null) wx.removeStorageSync(at); else wx.setStorageSync(at, text) },
  }
}

// --- small things -----------------------------------------------------------------------------

/** @param {number} status @param {(name: string) => string|null} header @param {string} text @returns {Answer} */
function plainAnswer(status, header, text) {
  const answer = {
    status, ok: status >= 200 && status < 300, headers: { get: header },
    text: () => Promise.resolve(text), json: () => Promise.resolve(text).then((t) => JSON.parse(t)), clone: () => answer,
  }
  return answer
}

/** @param {*} headers @returns {Object<string, string>} */
function plainHeaders(headers) {
  /** @type {Object<string, string>} */
  const plain = {}
  if (!headers) return plain
  const add = (/** @type {string} */ value, /** @type {string} */ key) => { if (key.toLowerCase() !== 'authorization') plain[key] = value }
  if (Array.isArray(headers)) headers.forEach((pair) => add(pair[1], pair[0]))
  else if (typeof headers.forEach === 'function') headers.forEach(add)
  else Object.keys(headers).forEach((key) => add(headers[key], key))
  return plain
}

/** Scheme, host and port; '' for what has none. @param {string} url */
function originOf(url) {
  const m = /^(https?):\/\/([^/?#@\\\s]+)(?=[/?#]|$)/i.exec(url)
  if (!m) return ''
  const scheme = m[1].toLowerCase()
  const usual = scheme === 'https' ? /:443$/ : /:80$/
  return scheme + '://' + m[2].toLowerCase().replace(usual, '')
}

/** @param {string} origin */
function isPrivate(origin) {
  return /^https:/.test(origin) || /^http:\/\/(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$/.test(origin)
}

/** @param {string} url */
function absolute(url) {
  if (typeof URL === 'function' && typeof location === 'object' && location) return new URL(url, location.href).href
  return url
}

/** @param {Object<string, string>} form */
function encode(form) {
  return Object.keys(form).map((key) => encodeURIComponent(key) + '=' + encodeURIComponent(form[key])).join('&')
}

/** Seconds that an answer asks for (RFC 9110 section 10.2.3), at most ten minutes. @param {Answer} answer */
function retryAfter(answer) {
  const text = answer.headers.get('retry-after')
  if (!text) return 0
  const seconds = /^\d+$/.test(text) ? Number(text) : (Date.parse(text) - Date.now()) / 1000
  return seconds > 0 ? Math.min(seconds, LONGEST_RETRY_AFTER) : 0
}

/** @param {number} ms @returns {Promise<void>} */
function sleep(ms) {
  return new Promise((done) => { setTimeout(done, ms) })
}

/** A clock that nobody sets, where there is one. @returns {() => number} */
function clock() {
  return typeof performance === 'object' && performance && typeof performance.now === 'function' ? () => performance.now() : () => Date.now()
}
