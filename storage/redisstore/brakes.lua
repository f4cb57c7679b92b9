-- Counts tries that could be guesses: one script, so that of callers who race no more are let through
-- than the limits leave. All keys share one hash tag. Times are milliseconds since 1970, as the caller
-- tells them.
--
-- KEYS: pair, account, address
-- ARGV: operation (take, wrong, right, undecided), now, has account, has address, account failures,
--       pair failures, delay, max delay, most failures, lock, window, known for, address capacity,
--       address cost
--
-- A counter is a hash: n failures; u until when nothing more is let through; x when n is forgotten;
-- k until when the address is known (pairs only); e the u that was reported. The bucket of an address
-- is a hash: t when it will be empty; e until when its overflow counts as reported.
--
-- take returns {wait, scope}; wrong returns {scope, failures, wait, ...} of what is set anew.

local op, now = ARGV[1], tonumber(ARGV[2])
local hasAccount, hasAddress = ARGV[3] == '1', ARGV[4] == '1'
local accountFree, pairFree = tonumber(ARGV[5]), tonumber(ARGV[6])
local delay, maxDelay = tonumber(ARGV[7]), tonumber(ARGV[8])
local most, lock = tonumber(ARGV[9]), tonumber(ARGV[10])
local window, knownFor = tonumber(ARGV[11]), tonumber(ARGV[12])
local capacity, cost = tonumber(ARGV[13]), tonumber(ARGV[14])
local PAIR, ACCOUNT, ADDRESS = 1, 2, 3

local function read(key, ...)
  local stored = redis.call('HMGET', key, ...)
  for i = 1, #stored do stored[i] = tonumber(stored[i] or '0') or 0 end
  return stored
end

local function text(x) return string.format('%.0f', x) end

local function load(key)
  local s = read(key, 'n', 'u', 'x', 'k', 'e')
  local c = {n = s[1], u = s[2], x = s[3], k = s[4], e = s[5]}
  if c.x <= now then c.n, c.u, c.e = 0, 0, 0 end
  return c
end

local function save(key, c)
  local last = c.k
  if c.n > 0 and c.x > last then last = c.x end
  if last <= now then
    redis.call('DEL', key)
    return
  end
  redis.call('HSET', key, 'n', text(c.n), 'u', text(c.u), 'x', text(c.x), 'k', text(c.k), 'e', text(c.e))
  redis.call('PEXPIRE', key, text(last - now))
end

local function loadBucket()
  local s = read(KEYS[3], 't', 'e')
  return {t = math.max(s[1], now), e = s[2]}
end

local function saveBucket(b)
  local last = math.max(b.t, b.e)
  if last <= now then
    redis.call('DEL', KEYS[3])
    return
  end
  redis.call('HSET', KEYS[3], 't', text(b.t), 'e', text(b.e))
  redis.call('PEXPIRE', KEYS[3], text(last - now))
end

local function overflow(b) return b.t + cost - now - capacity end

-- count adds a failure; pause sets the pause that follows it.
local function count(c)
  c.n = c.n + 1
  c.x = now + window
end

local function pause(c, free)
  if c.n >= most then
    c.u = now + lock
    c.x = c.u
  elseif c.n >= free then
    c.u = math.max(c.u, now + math.min(maxDelay, delay * 2 ^ (c.n - free)))
    c.x = math.max(c.x, c.u)
  end
end

local pair = load(KEYS[1])
local account, bucket
if hasAccount then account = load(KEYS[2]) end
if hasAddress then bucket = loadBucket() end
local known = pair.k > now
local byPair = known or not hasAccount

if op == 'take' then
  local wait, by = 0, 0
  local function hold(w, scope)
    if w > wait then wait, by = w, scope end
  end
  if byPair then hold(pair.u - now, PAIR) end
  if account and not known then hold(account.u - now, ACCOUNT) end
  if bucket and not known then hold(overflow(bucket), ADDRESS) end
  if wait > 0 then return {wait, by} end
  count(pair)
  if byPair then pause(pair, pairFree) end
  save(KEYS[1], pair)
  if account then
    count(account)
    -- From a known address the account pauses only when the try was wrong: it was not judged by it.
    if not known then pause(account, accountFree) end
    save(KEYS[2], account)
  end
  if bucket and not known then
    bucket.t = bucket.t + cost
    saveBucket(bucket)
  end
  return {0, 0}
end

if op == 'wrong' then
  local engaged = {}
  if account and known and account.n > 0 then
    pause(account, accountFree)
    save(KEYS[2], account)
  end
  local function report(key, c, scope)
    if c.u > now and c.e ~= c.u then
      c.e = c.u
      save(key, c)
      engaged[#engaged + 1] = scope
      engaged[#engaged + 1] = c.n
      engaged[#engaged + 1] = c.u - now
    end
  end
  if byPair then report(KEYS[1], pair, PAIR) end
  if account then report(KEYS[2], account, ACCOUNT) end
  if bucket and not known and overflow(bucket) > 0 and bucket.e <= now then
    bucket.e = now + capacity
    saveBucket(bucket)
    engaged[#engaged + 1] = ADDRESS
    engaged[#engaged + 1] = 0
    engaged[#engaged + 1] = overflow(bucket)
  end
  return engaged
end

local back = 1
if op == 'right' then
  back = pair.n
  pair.n, pair.u, pair.e, pair.k = 0, 0, 0, now + knownFor
else
  pair.n = math.max(0, pair.n - 1)
  if byPair then pair.u = 0 end
end
save(KEYS[1], pair)
if account then
  account.n = math.max(0, account.n - back)
  -- An account that was held back when the try began stays so: a try from a known address is no key.
  if account.n < accountFree or not known then account.u = 0 end
  save(KEYS[2], account)
end
if bucket and not known then
  bucket.t = math.max(now, bucket.t - cost)
  saveBucket(bucket)
end
return {}
