-- Runs a batch of one session on the locks of one slot bucket, and renews the
-- session. Invariants:
--
-- * Whoever holds or waits is of a session whose key "a:" exists. What others
--   left behind counts for nothing and is swept when somebody comes by.
-- * A session that has lapsed is never renewed, so what it held stays lost.
-- * A session from which the server has lost writes is told so, and is alive until
--   it has given back what is left or lapses.
-- * A batch takes effect in the order in which it was sent, or never: its number
--   is greater than that of all before it.
-- * A lock that nobody holds has no queue: who leaves passes it on.
-- * Ordinals only grow, and are not below the server's clock.
--
-- KEYS: the session's key; of each op the key of its lock; in a cluster a key that
-- never exists: it makes a slot refuse us while its keys move to another node.
-- ARGV: what keys begin with, session, number of the batch, number of the last
-- batch that was answered, ttl and horizon in ms, what channels begin with if that
-- is not what keys do, else ""; for a heartbeat "h", how many messages were
-- acknowledged and how many were received, else ""; then of each op its code, its
-- owner, and the limit of a semaphore.
--
-- A mutex is a string, session:owner:ordinal, with a letter behind when somebody
-- waits: q for its own session, c when the holder was told of another one. A
-- reader-writer lock and a semaphore are hashes: session:owner of each holder
-- and its ordinal, with a c behind when it was told; m, which is r, w or the
-- limit; q, which is there when somebody waits: * when all holders were told, a
-- session when all but its own were; p, how many writers passed a reader.
-- Queues are sorted sets of session:owner by ordinal.
--
-- The horizon is for how long a key lives after it was touched. A session touches what
-- it has well before that, and what others have given it by its next heartbeat.

local KEYS, ARGV = KEYS, ARGV
local call, match, sub, format = redis.call, string.match, string.sub, string.format
local base, sid, ttl, horizon = ARGV[1], ARGV[2], ARGV[5], ARGV[6]
local self = sid .. ':'

local BUSY, QUEUED, RELEASED, TOUCHED, GONE = 0, 1, 2, 3, 4
local LAPSED, LATE, RUPTURED = -1, -2, -3
local MAXWRITERS = 16

-- Renewing comes before all else. A server whose memory is full refuses it,
-- unless something was written by a command that needs no memory.
local full -- why nothing new can be kept, or nil
local last = redis.pcall('SET', KEYS[1], ARGV[3], 'XX', 'GET', 'PX', ttl)
if type(last) == 'table' and last.err and match(last.err, '^-?OOM') then
  full = last.err
  call('PEXPIRE', KEYS[1], ttl)
  last = call('SET', KEYS[1], ARGV[3], 'XX', 'GET', 'PX', ttl)
end
if type(last) == 'table' then return last end
if not last then return {LAPSED} end
if last ~= ARGV[4] then -- It had no answer, or was overtaken.
  last = tonumber(last)
  if last >= tonumber(ARGV[3]) then
    call('SET', KEYS[1], last, 'KEEPTTL')
    return {LATE}
  end
  if last < tonumber(ARGV[4]) then return {RUPTURED} end -- It has lost what it had answered.
end

-- The server's clock in microseconds since EPOCH, 2020-01-01, once it was looked at.
-- Ordinals count from there and stay below 2^51.
local EPOCH = 1577836800
local now
local ordinal -- the last one given out in this batch

local function clock()
  if not now then
    local time = call('TIME')
    now = (time[1] - EPOCH) * 1000000 + time[2]
  end
  return now
end

-- The first ordinal leaves room for one more with each further request, in the
-- same command that tells the last one: it rarely has to be written down again.
local room
local function draw()
  if not ordinal then
    room = clock() + #KEYS - 2
    local text = format('%.0f', room)
    local given = tonumber(call('SET', base .. 'o', text, 'GET') or 0)
    ordinal = now
    if given >= now then ordinal, room = given + 1, 0 end
    if ordinal == room then return text end -- It takes long to write a number.
  else
    ordinal = ordinal + 1
  end
  return format('%.0f', ordinal)
end

local answer = {0}

if ARGV[8] == 'h' then
  -- Who sleeps for longer than it said may be dead: then who waits is to look.
  local live = base .. 'l'
  call('ZADD', live, format('%.0f', clock() + ttl * 1000), sid)
  for _, s in ipairs(call('ZRANGEBYSCORE', live, '-inf', format('%.0f', clock()), 'LIMIT', 0, 16)) do
    local left = call('PTTL', base .. 'a:' .. s)
    if left > 0 then
      call('ZADD', live, format('%.0f', now + left * 1000), s)
    else
      call('ZREM', live, s)
      call('DEL', base .. 'i:' .. s) -- Nobody is told of it any more.
      call('INCR', base .. 'd')
      call('PEXPIRE', base .. 'd', horizon)
    end
  end
  local info = base .. 'i:' .. sid
  local n, acked, got = tonumber(call('HGET', info, 'n') or -1), tonumber(ARGV[9]), tonumber(ARGV[10])
  if n < got then return {RUPTURED} end -- It has forgotten what it told us.
  call('PEXPIRE', info, 3 * ttl) -- It outlives the session, but not by much.
  if call('PTTL', live) < tonumber(horizon) then call('PEXPIRE', live, horizon) end
  for i = acked + 1, got do call('HDEL', info, i) end
  local news = {tonumber(call('GET', base .. 'd') or 0), n}
  for i = got + 1, n do
    news[#news + 1] = call('HGET', info, i)
  end
  answer[1] = news
end

local i, k = ARGV[8] == 'h' and 11 or 9, 2 -- of the next op

-- Free mutexes that are locked, and mutexes that are unlocked while nobody waits,
-- are most of what there is. As long as there is nothing else, nothing else is
-- made: what follows takes longer to make than a batch of them to run. What fails
-- here is tried again there, and fails alone.
local function plain()
  while ARGV[i] do
    local code, key, mine, r = ARGV[i], KEYS[k], self .. ARGV[i + 1] .. ':', nil
    if (code == 'm' or code == 'M') and not full then
      if call('SET', key, mine .. draw(), 'NX', 'PX', horizon) then r = ordinal end
    elseif code == 'u' then
      local v = redis.pcall('GET', key)
      if type(v) == 'string' and sub(v, 1, #mine) == mine and not match(v, '%a', -1) then
        call('DEL', key)
        r = RELEASED
      end
    end
    if not r then return false end
    answer[k] = r
    i, k = i + 2, k + 1
  end
  return true
end

local ok, all = pcall(plain)
if not ok or not all then

local channels = (ARGV[7] ~= '' and ARGV[7] or base) .. 'c:'
horizon = tonumber(horizon)

-- For how many ms a session will live at least, or false of one that is dead.
local living = {[sid] = tonumber(ttl)}
local function alive(s)
  if living[s] == nil then
    local left = call('PTTL', base .. 'a:' .. s)
    living[s] = left >= 0 and left
  end
  return living[s]
end

-- Moves the end of a key that several may depend on, each with a horizon of its own.
local function extend(key, least)
  least = math.max(horizon, least or 0)
  if call('PTTL', key) < least then call('PEXPIRE', key, least) end
end

-- Tells a session that is alive. What it has not acknowledged is kept for it. What is
-- refused here must not stop others half way: mute is why it was.
local mute
local function send(s, text)
  local info = base .. 'i:' .. s
  local n = call('HINCRBY', info, 'n', 1)
  call('HSET', info, n, text)
  call('PUBLISH', channels .. sub(s, 1, 16), s .. ' ' .. format('%.0f', n) .. ' ' .. text)
end
local function push(s, text)
  local ok, why = pcall(send, s, text)
  if not ok then mute = why end
  return ok
end

local function granted(s, owner, ord, contended)
  push(s, 'G' .. owner .. ' ' .. ord .. (contended and ' c' or ''))
end

-- The first of a queue who is alive.
local function first(queue)
  while true do
    local w = call('ZRANGE', queue, 0, 0)[1]
    if not w then return nil end
    local s, owner = match(w, '^(.*):(%d+)$')
    if alive(s) then return w, s, owner end
    call('ZREM', queue, w)
  end
end

-- Whether somebody of another session than s waits in a queue.
local function others(queue, s)
  local mine, from = s .. ':', 0
  while true do
    local list = call('ZRANGE', queue, from, from + 63)
    for _, w in ipairs(list) do
      if sub(w, 1, #mine) ~= mine then return true end
    end
    if #list < 64 then return false end
    from = from + 64
  end
end

-- What is of another type than ours is not ours.
local function ours(v)
  if type(v) == 'table' and v.err then
    if match(v.err, '^-?WRONGTYPE') then return nil end
    error(v.err, 0)
  end
  return v
end

-- Takes an owner of this session out of a queue, and tells whether it was there.
local function dequeue(queue, me)
  local n = redis.pcall('ZREM', queue, me)
  if type(n) == 'table' and not ours(redis.pcall('ZSCORE', queue, me)) then return false end
  return ours(n) == 1
end

local function queueOf(key) return base .. 'q' .. sub(key, #base + 1) end
local function readersOf(key) return base .. 'p' .. sub(key, #base + 1) end

-- Puts an owner of this session at the end of a queue, unless it stands there.
local wrote -- this op has left something behind
local function enqueue(queue, me)
  if not call('ZSCORE', queue, me) then
    call('ZADD', queue, draw(), me)
    wrote = true
  end
  extend(queue)
end

--- Mutexes

-- Passes a mutex that nobody holds to the first who waits, or frees it.
local function pass(key)
  local queue = queueOf(key)
  local w, s, owner = first(queue)
  if not w then
    call('DEL', key, queue)
    return
  end
  call('ZREM', queue, w)
  local ord, flag = draw(), ''
  if others(queue, s) then
    flag = 'c'
  elseif call('EXISTS', queue) == 1 then
    flag = 'q'
  end
  call('SET', key, w .. ':' .. ord .. flag, 'PX', math.max(horizon, alive(s)))
  granted(s, owner, ord, flag == 'c')
end

local function lock(key, owner, wait)
  while true do
    if call('SET', key, self .. owner .. ':' .. draw(), 'NX', 'PX', horizon) then return ordinal end
    local v = call('GET', key)
    local s, o, g, flag = match(v, '^(.*):(%d+):(%d+)(%a?)$')
    if not s then return redis.error_reply('ERR the key of the mutex holds something else') end
    if s == sid and o == owner then
      call('PEXPIRE', key, horizon)
      g = tonumber(g)
      return flag ~= '' and others(queueOf(key), sid) and -g or g
    end
    if alive(s) then
      if not wait then return BUSY end
      enqueue(queueOf(key), self .. owner)
      if s ~= sid and flag ~= 'c' and push(s, 'C' .. o) then
        call('SET', key, s .. ':' .. o .. ':' .. g .. 'c', 'KEEPTTL')
      elseif flag == '' then
        call('SET', key, v .. 'q', 'KEEPTTL')
      end
      return QUEUED
    end
    pass(key)
  end
end

-- Asks again for one who may wait already. Where somebody has taken the key away, the
-- mutex goes to the first who waits, as if it had been unlocked.
local function relock(key, owner)
  if call('EXISTS', key) == 0 then pass(key) end
  return lock(key, owner, true)
end

local function unlock(key, owner)
  local v = ours(redis.pcall('GET', key))
  local mine = self .. owner .. ':'
  if v and sub(v, 1, #mine) == mine then
    if match(v, '%a$') then pass(key) else call('DEL', key) end
    return RELEASED
  end
  return dequeue(queueOf(key), self .. owner) and RELEASED or GONE
end

local function touch(key, owner)
  local v = ours(redis.pcall('GET', key))
  local mine = self .. owner .. ':'
  if v and sub(v, 1, #mine) == mine then
    call('PEXPIRE', key, horizon)
    return TOUCHED
  end
  return GONE
end

--- Reader-writer locks and semaphores

-- Grants a lock to all whose turn has come, and forgets it when nobody holds it.
local function settle(key, rw)
  local queue, readers = queueOf(key), readersOf(key)
  local v = call('HMGET', key, 'm', 'q', 'p')
  local m, q, passed = v[1], v[2], tonumber(v[3] or 0)
  local n = call('HLEN', key) - (m and 1 or 0) - (q and 1 or 0) - (v[3] and 1 or 0)
  local grants, longest = {}, 0
  local function grant(from, w, s, owner)
    longest = math.max(longest, alive(s))
    call('ZREM', from, w)
    n = n + 1
    grants[#grants + 1] = {w, s, owner, draw()}
  end
  local w, ws, wo, r, rs, ro
  while true do
    w, ws, wo = first(queue)
    if rw then r, rs, ro = first(readers) end
    if not r then passed = 0 end
    if w and (not r or passed < MAXWRITERS) then
      if rw then
        if n > 0 then break end
        m = 'w'
        if r then passed = passed + 1 end
      elseif n >= tonumber(m or 0) then
        break
      end
      grant(queue, w, ws, wo)
    elseif r and (n == 0 or m == 'r') then
      m = 'r'
      grant(readers, r, rs, ro)
    else
      break
    end
  end
  if n == 0 then
    call('DEL', key, queue, readers)
    return
  end
  if q and not w and not r then
    call('HDEL', key, 'q')
    q = false
  end
  for _, g in ipairs(grants) do
    local contended = w and others(queue, g[2]) or r and others(readers, g[2])
    call('HSET', key, g[1], g[4] .. (contended and 'c' or ''))
    if q and not contended and q ~= g[2] then
      q = q == '*' and g[2] or 'q'
      call('HSET', key, 'q', q)
    end
    granted(g[2], g[3], g[4], contended)
  end
  if #grants > 0 then
    call('HSET', key, 'm', m)
    extend(key, longest)
  end
  if passed > 0 then
    call('HSET', key, 'p', passed)
  elseif v[3] then
    call('HDEL', key, 'p')
  end
end

-- Sweeps what the dead left of a lock, once a batch, and tells whether it did.
local swept = {}
local function sweep(key, rw)
  if swept[key] then return false end
  swept[key] = true
  for _, field in ipairs(call('HKEYS', key)) do
    local s = match(field, '^(.*):%d+$')
    if s and not alive(s) then call('HDEL', key, field) end
  end
  settle(key, rw)
  return true
end

-- Tells all holders of other sessions that this one waits.
local function tell(key, q)
  if q == '*' or q == sid then return end
  q = '*'
  local all = call('HGETALL', key)
  for i = 1, #all, 2 do
    local s, owner = match(all[i], '^(.*):(%d+)$')
    if s and sub(all[i + 1], -1) ~= 'c' then
      if s == sid then
        q = sid
      elseif alive(s) and push(s, 'C' .. owner) then
        call('HSET', key, all[i], all[i + 1] .. 'c')
      end
    end
  end
  call('HSET', key, 'q', q)
end

-- mode is r, w, or s with a limit.
local function enter(key, owner, mode, limit, wait)
  local me, rw = self .. owner, mode ~= 's'
  while true do
    local v = call('HMGET', key, me, 'm', 'q')
    local g, m, q = v[1], v[2], v[3]
    if g then
      extend(key)
      g = tonumber(match(g, '%d+'))
      return q and (others(queueOf(key), sid) or rw and others(readersOf(key), sid)) and -g or g
    end
    local fits = not m or mode == 'r' and m == 'r'
    if m and mode == 's' and m == limit then
      fits = call('HLEN', key) - (q and 2 or 1) < tonumber(limit)
    end
    if fits and (not q or call('EXISTS', queueOf(key)) == 0) then
      if m then
        call('HSET', key, me, draw())
      else
        call('HSET', key, me, draw(), 'm', mode == 's' and limit or mode)
      end
      wrote = true
      extend(key)
      return ordinal
    end
    if not sweep(key, rw) then
      if mode == 's' and m ~= limit then return 'LIMIT' end
      if not wait then return BUSY end
      enqueue(mode == 'r' and readersOf(key) or queueOf(key), me)
      tell(key, q)
      return QUEUED
    end
  end
end

-- Asks again for one who may wait already. Where somebody has taken the key away, or it
-- does not tell of those who wait since then, the lock goes to them in their order.
local function reenter(key, owner, mode, limit)
  local queue = mode == 'r' and readersOf(key) or queueOf(key)
  if call('ZSCORE', queue, self .. owner) and not call('HGET', key, 'q') then
    if call('EXISTS', key) == 0 then call('HSET', key, 'm', mode == 's' and limit or 'w') end
    call('HSET', key, 'q', 'q')
    settle(key, mode ~= 's')
  end
  return enter(key, owner, mode, limit, true)
end

local function leave(key, owner, rw)
  local me = self .. owner
  local v = ours(redis.pcall('HMGET', key, me, 'm', 'q'))
  if v and v[1] then
    call('HDEL', key, me)
    if v[3] then
      settle(key, rw)
    elseif v[2] == 'w' or call('HLEN', key) == 1 then
      call('DEL', key)
    end
  elseif dequeue(queueOf(key), me) or rw and dequeue(readersOf(key), me) then
    if v then settle(key, rw) end
  else
    return GONE
  end
  return RELEASED
end

local function touchHash(key, owner)
  if ours(redis.pcall('HEXISTS', key, self .. owner)) == 1 then
    extend(key)
    return TOUCHED
  end
  return GONE
end

local ops = {
  m = function(key, owner) return lock(key, owner, false) end,
  M = function(key, owner) return lock(key, owner, true) end,
  w = function(key, owner) return enter(key, owner, 'w', nil, false) end,
  W = function(key, owner) return enter(key, owner, 'w', nil, true) end,
  r = function(key, owner) return enter(key, owner, 'r', nil, false) end,
  R = function(key, owner) return enter(key, owner, 'r', nil, true) end,
  s = function(key, owner, limit) return enter(key, owner, 's', limit, false) end,
  S = function(key, owner, limit) return enter(key, owner, 's', limit, true) end,
  N = relock,
  X = function(key, owner) return reenter(key, owner, 'w') end,
  Q = function(key, owner) return reenter(key, owner, 'r') end,
  Y = function(key, owner, limit) return reenter(key, owner, 's', limit) end,
  u = unlock,
  v = function(key, owner) return leave(key, owner, true) end,
  z = function(key, owner) return leave(key, owner, false) end,
  t = touch,
  T = touchHash,
}

-- How an Acquire is undone that fails half way. If that fails, too, LEFT says that
-- something is left of it, and KEPT that there is if there was before.
local function unenter(key, owner) return leave(key, owner, true) end
local undo = {m = unlock, M = unlock, w = unenter, W = unenter, r = unenter, R = unenter, s = ops.z, S = ops.z,
  N = unlock, X = unenter, Q = unenter, Y = ops.z}

while ARGV[i] do
  local code = ARGV[i]
  mute, wrote = nil, nil
  -- What goes wrong with one lock, such as a key of another type, is about that one.
  local ok, r
  if full and undo[code] then
    ok, r = true, full
  else
    ok, r = pcall(ops[code], KEYS[k], ARGV[i + 1], ARGV[i + 2])
  end
  if r == QUEUED and mute then r = mute end -- Nobody would ever hear of it.
  if type(r) == 'table' then
    r = r.err
  elseif not ok then
    r = tostring(r)
  end
  if type(r) == 'string' and r ~= 'LIMIT' and r ~= full and undo[code] and not pcall(undo[code], KEYS[k], ARGV[i + 1]) then
    r = (wrote and 'LEFT ' or 'KEPT ') .. r
  end
  answer[k] = r
  k = k + 1
  i = i + ((code == 's' or code == 'S' or code == 'Y') and 3 or 2)
end

end

if ordinal and ordinal > room then call('SET', base .. 'o', format('%.0f', ordinal)) end
return answer
