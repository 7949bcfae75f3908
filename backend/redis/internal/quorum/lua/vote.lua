-- What one node of a quorum knows, and how it changes. The other scripts of the
-- quorum begin with this file. KEYS[1] is the prefix P of all keys:
--
--   P node      hash: run, the run_id of the server that this state belongs to;
--               from, when it may vote, in ms; again, when it may vote for those
--               who hold by others; base, a token that nothing is granted at or
--               below; most, the longest time to live in ms; born and peers: when it
--               was set up as new, and the run_ids of the nodes then
--   P format    the format of all these
--   P live      zset: epochs of sessions by their deadline in ms
--   P floor     hash: the highest token that was granted, by bucket of names
--   P s:EPOCH   hash: gen, the connection that speaks for the epoch; host, pid, reason
--   P of:EPOCH  hash: OWNER -> what it has here, a space, and the lock; that is a
--               slot, r of a reader or w of a waiter
--   P h:LOCK    hash: SLOT -> EPOCH OWNER token since
--   P r:LOCK    hash: EPOCH OWNER -> token since, of readers
--   P w:LOCK    hash: EPOCH OWNER -> mode ticket since, of those who wait, and a minus of
--               one who did not come when it was its turn
--   P x:LOCK    hash: limit; passed, the writers in a row that passed a waiting
--               reader; turn and till: for whom the lock is reserved, and how long
--
-- An EPOCH is the id of a session, a dot and a count; a LOCK is a letter for its class
-- and the name, or in upper case and the digest of a long name. An epoch that is past its
-- deadline is dead, what it has counts no more and is cleared away by whoever meets it,
-- and bit by bit by everybody's batches. If nobody comes it expires: all keys do but node,
-- format and floor. Those of the living are touched long before that: of an epoch when it
-- is renewed, of a lock when somebody asks for it, and when a holder checks it.

local P = KEYS[1]
local call = redis.call
local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- Tokens are times in microseconds since ZERO, 2020-01-01 in ms, and stay below 2^51.
local ZERO = 1577836800000
local function tokenAt(ms) return (ms - ZERO) * 1000 end
local us = tokenAt(clock[1] * 1000) + clock[2]

-- MAXWRITERS is backend.MaxWriters. RESERVED is for how long, in ms, a lock that became
-- free is reserved for whoever waited longest.
local MAXWRITERS = 16
local RESERVED = 100

local function int(x) return string.format('%.0f', x) end

-- horizon is for how long, in ms, a key stays that is not touched. Scripts that write set
-- it. One that several sessions depend on lives as long as it has to for all.
local horizon
local function touch(key) call('PEXPIRE', key, int(horizon)) end -- of one session alone
local function extend(key)
  local left = call('PTTL', key)
  if left ~= -2 and left < horizon then touch(key) end
end

-- noMemory returns why a server whose memory is full has refused a command, or nil.
local function noMemory(r)
  local why = type(r) == 'table' and r.err or type(r) == 'string' and r
  return why and string.find(why, 'OOM ', 1, true) and why or nil
end

-- insist makes it accept the commands of this script all the same, as a server does
-- behind one that writes and needs no memory.
local function insist() call('ZREM', P .. 'live', '') end

local known = {}
local function alive(epoch)
  if known[epoch] == nil then
    local deadline = call('ZSCORE', P .. 'live', epoch)
    known[epoch] = deadline and tonumber(deadline) >= now or false
  end
  return known[epoch]
end

local function classOf(lock) return string.lower(string.sub(lock, 1, 1)) end
local function session(who) return string.match(who, '^[^.]+') end
local function split(who) return string.match(who, '^(%S+) (%d+)') end

-- Messages to sessions, published when the script is done: TURN and an owner whose turn
-- it is, of a semaphore with a slash and a free slot; CONTENDED and an owner who holds what
-- another session waits for.
local TURN, CONTENDED = 't', 'c'
local said = {}
local function tell(who, kind, slot)
  local epoch, owner = split(who)
  local to = session(epoch)
  said[to] = (said[to] and said[to] .. ' ' or '') .. kind .. owner .. (slot and '/' .. slot or '')
end
local function publish()
  for to, words in pairs(said) do redis.pcall('PUBLISH', P .. 'c:' .. to, words) end
end

-- strike takes from the books what an owner has of a lock, and tells whether it stood
-- there.
local function strike(epoch, owner, what, lock)
  local who, there = epoch .. ' ' .. owner, false
  if what == 'r' or what == 'w' then
    there = call('HDEL', P .. what .. ':' .. lock, who) == 1
    if what == 'w' and call('HGET', P .. 'x:' .. lock, 'turn') == who then
      call('HDEL', P .. 'x:' .. lock, 'turn', 'till')
    end
  else
    local v = call('HGET', P .. 'h:' .. lock, what)
    if v and string.sub(v, 1, #who + 1) == who .. ' ' then
      there = call('HDEL', P .. 'h:' .. lock, what) == 1
    end
  end
  call('HDEL', P .. 'of:' .. epoch, owner)
  return there
end

-- holder returns the living holder of a slot.
local function holder(lock, slot)
  local v = call('HGET', P .. 'h:' .. lock, slot)
  if not v then return nil end
  local epoch, owner = split(v)
  if alive(epoch) then return epoch .. ' ' .. owner end
  strike(epoch, owner, slot, lock)
  return nil
end

-- holders returns the slots that are taken, each followed by its holder.
local function holders(lock)
  local list = {}
  for _, slot in ipairs(call('HKEYS', P .. 'h:' .. lock)) do
    local who = holder(lock, slot)
    if who then
      list[#list + 1] = slot
      list[#list + 1] = who
    end
  end
  return list
end

-- readers returns the living readers.
local function readers(lock)
  local list = {}
  for _, who in ipairs(call('HKEYS', P .. 'r:' .. lock)) do
    local epoch, owner = split(who)
    if alive(epoch) then
      list[#list + 1] = who
    else
      strike(epoch, owner, 'r', lock)
    end
  end
  return list
end

-- waiters returns the living ones.
local function waiters(lock)
  local list = {}
  local all = call('HGETALL', P .. 'w:' .. lock)
  for i = 1, #all, 2 do
    local epoch, owner = split(all[i])
    if alive(epoch) then
      local mode, ticket, since, missed = string.match(all[i + 1], '^(%a) (%d+) (%d+)(%-?)$')
      list[#list + 1] = {who = all[i], mode = mode, ticket = tonumber(ticket), since = since, missed = missed == '-'}
    else
      strike(epoch, owner, 'w', lock)
    end
  end
  return list
end

local function before(a, b)
  if a.missed ~= b.missed then return b.missed end
  if a.ticket ~= b.ticket then return a.ticket < b.ticket end
  return a.who < b.who
end

local function passed(lock) return tonumber(call('HGET', P .. 'x:' .. lock, 'passed') or '0') end

-- pass counts a writer that goes before readers who wait.
local function pass(lock)
  for _, w in ipairs(waiters(lock)) do
    if w.mode == 's' then
      call('HINCRBY', P .. 'x:' .. lock, 'passed', 1)
      extend(P .. 'x:' .. lock)
      return
    end
  end
end

-- reserved tells whether the lock is reserved for somebody else than who. It is so for each
-- only once: one that does not come is dead or cut off, and held up all others.
local function reserved(lock, who)
  local turn = call('HMGET', P .. 'x:' .. lock, 'turn', 'till')
  if not turn[1] or turn[1] == who then return false end
  if tonumber(turn[2]) >= now and alive((split(turn[1]))) then return true end
  call('HDEL', P .. 'x:' .. lock, 'turn', 'till')
  local w = call('HGET', P .. 'w:' .. lock, turn[1])
  if w and string.sub(w, -1) ~= '-' then call('HSET', P .. 'w:' .. lock, turn[1], w .. '-') end
  return false
end

-- tidy forgets a lock that nobody uses, and that readers were passed when none waits.
local function tidy(lock)
  if call('EXISTS', P .. 'w:' .. lock) == 1 then
    for _, w in ipairs(waiters(lock)) do
      if w.mode == 's' then return end
    end
    call('HDEL', P .. 'x:' .. lock, 'passed')
    return
  end
  if call('EXISTS', P .. 'h:' .. lock, P .. 'r:' .. lock) == 0 then
    call('DEL', P .. 'x:' .. lock)
  else
    call('HDEL', P .. 'x:' .. lock, 'passed', 'turn', 'till')
  end
end

-- wake tells those whose turn it is now, except one who has just given way. Who
-- waited longest by the waiters' own tickets is first, so that all nodes choose alike.
local function wake(lock, except)
  if call('EXISTS', P .. 'w:' .. lock) == 0 then return end
  local class = classOf(lock)
  reserved(lock, nil)
  local first, shared = nil, {}
  for _, w in ipairs(waiters(lock)) do
    if w.who == except then
      -- It tries again by itself.
    elseif w.mode == 's' then
      shared[#shared + 1] = w
    elseif not first or before(w, first) then
      first = w
    end
  end
  local slot
  if class == 's' then
    local limit = tonumber(call('HGET', P .. 'x:' .. lock, 'limit') or '0')
    local taken, free = {}, 0
    local list = holders(lock)
    for i = 1, #list, 2 do taken[list[i]] = true end
    while taken[int(free)] do free = free + 1 end
    if free >= limit then return end
    slot = int(free)
  elseif holder(lock, '0') then
    return
  end
  if #shared > 0 and (not first or passed(lock) >= MAXWRITERS) then
    for _, w in ipairs(shared) do tell(w.who, TURN) end
    return
  end
  if not first or class == 'r' and #readers(lock) > 0 then return end
  if not first.missed then
    call('HSET', P .. 'x:' .. lock, 'turn', first.who, 'till', int(now + RESERVED))
    extend(P .. 'x:' .. lock)
  end
  tell(first.who, TURN, slot)
end

-- release gives back or withdraws what an owner has of a lock. It returns what that is,
-- and whether it was still there.
local function release(epoch, owner)
  local had = call('HGET', P .. 'of:' .. epoch, owner)
  if not had then return nil end
  local what, lock = string.match(had, '^(%S+) (.*)$')
  local there = strike(epoch, owner, what, lock)
  wake(lock)
  tidy(lock)
  return what, there
end

-- bury clears away a part of what a dead epoch left, and the epoch with the last of it.
local function bury(epoch)
  local left = call('HSCAN', P .. 'of:' .. epoch, '0', 'COUNT', '100')[2]
  for i = 1, #left, 2 do release(epoch, left[i]) end
  if call('EXISTS', P .. 'of:' .. epoch) == 0 then
    call('ZREM', P .. 'live', epoch)
    call('DEL', P .. 's:' .. epoch)
    return true
  end
  return false
end
