// The behaviour of tallystick.js against a real server, the same in Node and in a browser. Each scenario gets
// the module and a stand {issuer, gate, user, password, other}; it throws if something is not as promised.

export function equal(got, want, what) {
  if (JSON.stringify(got) !== JSON.stringify(want)) throw new Error(what + ': got ' + JSON.stringify(got) + ', want ' + JSON.stringify(want))
}

/** What the gate before the server is told. */
export function gateOf(stand) {
  const ask = async (path, body) => (await fetch(stand.gate + '/gate/' + path, { method: 'POST', body })).text()
  return {
    expire: (access) => ask('expire', access),
    lose: () => ask('lose', ''),
    away: (seconds) => ask('away', String(seconds)),
    reset: () => ask('reset', ''),
    mislead: (code) => ask('mislead', code),
    count: async (path) => Number(await ask('count', path)),
  }
}

export const wait = (f) => new Promise((done) => {
  const look = () => { const v = f(); if (v) done(v); else setTimeout(look, 5) }
  look()
})

const many = (n, f) => Promise.all(Array.from({ length: n }, (_, i) => f(i)))

async function rejects(promise) {
  try { await promise } catch (e) { return e }
  throw new Error('did not reject')
}

function make(m, stand, more) {
  const ends = []
  const client = m.createClient(Object.assign({
    issuer: stand.gate, clientId: 'shop-app', terminal: 'mobile', deviceName: 'old phone', onEnded: (e) => ends.push(e),
  }, more))
  return { client, ends, gate: gateOf(stand), wallet: () => client.fetch(stand.gate + '/v1/wallet') }
}

export const scenarios = {
  async 'one refresh for many requests'(m, stand) {
    const { client, gate, wallet } = make(m, stand)
    const session = await client.signIn(stand.user, stand.password)
    equal([session.product, session.terminal], ['shop', 'mobile'], 'session')
    const before = await gate.count('/oauth2/token')
    await gate.expire(await client.token())
    const answers = await many(50, wallet)
    equal(answers.every((a) => a.status === 200), true, 'all are answered')
    equal(await gate.count('/oauth2/token') - before, 1, 'refreshes')
    equal(Array.isArray((await answers[0].json()).balances), true, 'the body can be read')
    client.close()
  },

  async 'ahead of expiry, by a clock'(m, stand) {
    let t = 0
    const { client, gate } = make(m, stand, { now: () => t })
    await client.signIn(stand.user, stand.password)
    const first = await client.token()
    const before = await gate.count('/oauth2/token')
    t = 0.69 * 900_000
    equal(await client.token() === first, true, 'not before seven tenths of its life')
    t = 0.91 * 900_000
    equal(await client.token() === first, true, 'nobody waits for it')
    let now = first
    while (now === first) { await new Promise((done) => setTimeout(done, 5)); now = await client.token() }
    equal(await gate.count('/oauth2/token') - before, 1, 'refreshes')
    client.close()
  },

  async 'a write is repeated with its body, and applied once'(m, stand) {
    const { client, gate } = make(m, stand)
    await client.signIn(stand.user, stand.password)
    const init = {
      method: 'POST', headers: { 'Content-Type': 'application/json', 'Idempotency-Key': 'k' + Math.random() },
      body: JSON.stringify({ to: stand.other, amount: 1, currency: 'CNY' }),
    }
    await gate.expire(await client.token())
    const answer = await client.fetch(stand.gate + '/v1/transfers', init)
    const transfer = await answer.json()
    equal([answer.status, transfer.amount], [201, 1], 'transfer ' + JSON.stringify(transfer))
    const again = await client.fetch(stand.gate + '/v1/transfers', init)
    equal([(await again.json()).id, again.headers.get('idempotent-replayed')], [transfer.id, 'true'], 'once')
    client.close()
  },

  async 'superseded while requests are in flight'(m, stand) {
    const { client, ends, gate, wallet } = make(m, stand)
    await client.signIn(stand.user, stand.password)
    const other = make(m, stand, { deviceName: 'new phone' }).client
    await other.signIn(stand.user, stand.password)
    // The guards of other nodes hear within a second at worst; here the strict check says it at once.
    const write = () => client.fetch(stand.gate + '/v1/transfers', {
      method: 'POST', headers: { 'Content-Type': 'application/json', 'Idempotency-Key': 'k' + Math.random() },
      body: JSON.stringify({ to: stand.other, amount: 1, currency: 'CNY' }),
    })
    const errors = await many(20, () => rejects(write()))
    for (const e of errors) {
      equal([e instanceof m.EndedError, e.reason, e.code, e.supersededBy.device_name], [true, 'superseded', 2, 'new phone'], e.message)
    }
    await wait(() => ends.length)
    const before = [await gate.count('/oauth2/token'), await gate.count('/v1/wallet')]
    equal((await rejects(wallet())).reason, 'superseded', 'afterwards')
    equal([await gate.count('/oauth2/token'), await gate.count('/v1/wallet')], before, 'requests after the end')
    equal(ends.length, 1, 'told')
    await client.signIn(stand.user, stand.password)
    equal((await wallet()).status, 200, 'after signing in again')
    client.close()
    other.close()
  },

  async 'superseded is learnt at a refresh'(m, stand) {
    let t = 0
    const { client, ends } = make(m, stand, { now: () => t })
    await client.signIn(stand.user, stand.password)
    const other = make(m, stand, {}).client
    await other.signIn(stand.user, stand.password)
    t = 901_000
    const errors = await many(20, () => rejects(client.token()))
    equal(errors.every((e) => e instanceof m.EndedError && e.reason === 'superseded' && e.code === 2), true, 'ends')
    await wait(() => ends.length)
    equal(ends.length, 1, 'told')
    client.close()
    other.close()
  },

  async 'a lost answer is asked for again'(m, stand) {
    const { client, ends, gate, wallet } = make(m, stand)
    await client.signIn(stand.user, stand.password)
    await gate.expire(await client.token())
    await gate.lose()
    const answers = await many(20, wallet)
    equal(answers.every((a) => a.status === 200), true, 'all are answered')
    equal(ends.length, 0, 'told')
    client.close()
  },

  async 'a server that is away loses no sign-in'(m, stand) {
    let t = 0
    const { client, ends, gate, wallet } = make(m, stand, { now: () => t })
    await client.signIn(stand.user, stand.password)
    const before = await gate.count('/oauth2/token')
    await gate.away(40)
    t = 901_000
    for (let i = 0; i < 3; i++) {
      for (const e of await many(20, () => rejects(wallet()))) equal([e.name, e.retryAfter > 39], ['UnavailableError', true], String(e))
    }
    equal(await gate.count('/oauth2/token') - before, 1, 'asked while away')
    await gate.reset()
    t += 41_000
    equal((await wallet()).status, 200, 'when it is back')
    equal(ends.length, 0, 'told')
    client.close()
  },

  async 'a reload takes up what the store holds'(m, stand) {
    let kept = null
    const store = { load: () => kept, save: async (text) => { kept = text } }
    const first = make(m, stand, { store })
    const session = await first.client.signIn(stand.user, stand.password)
    first.client.close()
    const second = make(m, stand, { store })
    equal(await second.client.session(), session, 'session')
    equal((await second.wallet()).status, 200, 'request')
    await second.client.signOut()
    equal(kept, null, 'kept')
    equal((await rejects(second.wallet())).name, 'SignedOutError', 'signed out')
    equal(second.ends.length, 0, 'told')
    second.client.close()
  },

  async 'tokens stay at home'(m, stand) {
    const { client } = make(m, stand)
    await client.signIn(stand.user, stand.password)
    const e = await rejects(client.fetch('https://other.example.com/'))
    equal(/apis/.test(e.message), true, e.message)
    equal(JSON.stringify(client).includes(await client.token()), false, 'printed')
    for (const issuer of ['http://auth.example.com', 'auth.example.com', 'https://tom@auth.example.com']) {
      let refused = false
      try { m.createClient({ issuer, clientId: 'a' }) } catch (x) { refused = true }
      equal(refused, true, issuer)
    }
    client.close()
  },

  async 'a device follows the code that turns'(m, stand) {
    const phone = make(m, stand)
    await phone.client.signIn(stand.user, stand.password)
    const step = async (name, body) => {
      const answer = await phone.client.fetch(stand.gate + '/v1/device/' + name, {
        method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body),
      })
      equal(answer.status, 200, name + ' ' + (await answer.clone().text()))
    }
    const pc = make(m, stand, { terminal: 'browser', deviceName: 'a screen' })
    await pc.gate.mislead('BCDF-GHJK') // what it gets first is old at once
    const shown = []
    let failed = null
    const session = await pc.client.signInWithDevice({
      onCode: (code) => {
        shown.push(code)
        if (shown.length === 2) {
          step('scan', { user_code: code.user_code }).then(() => step('approve', { user_code: code.user_code, number: code.confirmation }))
            .catch((e) => { failed = e })
        }
      },
      stopped: () => failed !== null,
    }).catch((e) => { throw failed || e })
    equal([session.terminal, shown.length, shown[0].user_code], ['browser', 2, 'BCDF-GHJK'], 'shown')
    equal(shown.map((s) => [/^<svg/.test(s.qr_svg), /^\d\d$/.test(s.confirmation), 'device_code' in s]), [[true, true, false], [true, true, false]], 'what')
    equal(shown[1].expires_in < 180 && shown[1].verification_uri === shown[0].verification_uri, true, 'the rest')
    equal((await pc.wallet()).status, 200, 'request')
    await pc.gate.reset()
    const cancelled = await pc.gate.count('/v1/device/cancel')
    const e = await rejects(pc.client.signInWithDevice({ onCode: () => {}, stopped: () => true }))
    equal([e.name, await pc.gate.count('/v1/device/cancel') - cancelled], ['StoppedError', 1], 'stopped')
    phone.client.close()
    pc.client.close()
  },

  async 'a login token brings its data'(m, stand) {
    const giver = make(m, stand, { terminal: 'browser' })
    await giver.client.signIn(stand.user, stand.password)
    const answer = await giver.client.fetch(stand.gate + '/v1/login-tokens', {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ terminal: 'mobile', data: { cart: ['7'] } }),
    })
    const given = await answer.json()
    const taker = make(m, stand)
    const session = await taker.client.signInWithLoginToken(given.login_token)
    equal([session.terminal, session.loginData], ['mobile', { cart: ['7'] }], 'session')
    equal('loginData' in (await taker.client.session()), false, 'kept')
    equal((await taker.wallet()).status, 200, 'request')
    equal((await rejects(make(m, stand).client.signInWithLoginToken(given.login_token))).error, 'invalid_grant', 'a second time')
    giver.client.close()
    taker.client.close()
  },

  async 'a wrong password'(m, stand) {
    const { client } = make(m, stand)
    const e = await rejects(client.signIn(stand.user, 'a wrong one'))
    equal([e instanceof m.OAuthError, e.status, e.error], [true, 400, 'invalid_grant'], String(e))
    client.close()
  },

  async 'a mini program'(m, stand) {
    const wx = miniProgram()
    const more = { adapter: m.wxAdapter(wx), store: m.wxStorage(wx) }
    const { client, ends, gate, wallet } = make(m, stand, more)
    // wx.login on the phone; the stand-in for WeChat makes the code.
    const code = await (await fetch(stand.gate + '/gate/wx-login', { method: 'POST', body: 'openid-' + stand.user })).text()
    const session = await client.signInWithWeChat(code)
    equal((await wallet()).status, 200, 'request')
    await gate.expire(await client.token())
    const answers = await many(10, wallet)
    equal(answers.every((a) => a.status === 200), true, 'after a refresh')
    equal(Array.isArray((await answers[0].json()).balances), true, 'the body can be read')
    client.close()
    const next = make(m, stand, more)
    equal(await next.client.session(), session, 'after the program was closed')
    const phone = make(m, stand, { adapter: m.wxAdapter(miniProgram()) })
    const second = await (await fetch(stand.gate + '/gate/wx-login', { method: 'POST', body: 'openid-' + stand.user })).text()
    await phone.client.signInWithWeChat(second)
    await gate.expire(await next.client.token())
    const e = await rejects(next.wallet())
    equal([e.reason, e.code], ['superseded', 2], String(e))
    wx.offline = true
    const broken = make(m, stand, more)
    equal((await rejects(broken.client.signIn(stand.user, stand.password))).name, 'NetworkError', 'offline')
    for (const c of [next, phone, broken]) c.client.close()
    equal(ends.length, 0, 'told')
  },
}

/**
 * wx as base libraries behave: request answers by callbacks, with the status whatever it is in success;
 * JSON is parsed unless dataType says otherwise; header names come as the server wrote them; PATCH is
 * refused; storage is synchronous and answers '' for what it does not hold.
 */
export function miniProgram() {
  const kept = new Map()
  const wx = {
    offline: false,
    request(o) {
      if (!['OPTIONS', 'GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'TRACE', 'CONNECT'].includes(o.method)) throw new TypeError('method ' + o.method)
      if (o.data !== undefined && typeof o.data !== 'string') throw new TypeError('data')
      if (wx.offline) {
        setTimeout(() => o.fail({ errMsg: 'request:fail ', errno: 600001 }), 0)
        return { abort() {} }
      }
      fetch(o.url, { method: o.method, headers: o.header, body: o.data }).then(async (a) => {
        const header = {}
        a.headers.forEach((value, key) => { header[key.replace(/(^|-)./g, (x) => x.toUpperCase())] = value })
        let data = await a.text()
        if (o.dataType === undefined || o.dataType === 'json') { try { data = JSON.parse(data) } catch (e) { /* left as it is */ } }
        o.success({ data, statusCode: a.status, header, cookies: [], errMsg: 'request:ok' })
      }, (e) => o.fail({ errMsg: 'request:fail ' + e.message }))
      return { abort() {} }
    },
    getStorageSync: (key) => (kept.has(key) ? kept.get(key) : ''),
    setStorageSync: (key, value) => { kept.set(key, value) },
    removeStorageSync: (key) => { kept.delete(key) },
  }
  return wx
}
