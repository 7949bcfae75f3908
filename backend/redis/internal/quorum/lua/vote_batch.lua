-- Runs requests of one session in order. Returns how the session stands ('ok'; 'over':
-- its epoch is; 'stale': a newer connection speaks for it) and an answer to each.
-- ARGV: epoch, connection, time to live in ms to renew the epoch or 0, the bound of
-- tokens in µs above the clock, horizon; then ten for each request: kind, owner, mode, wait
-- or flag, token, ticket, slot, limit, bucket, lock.
--
-- It keeps the invariants that a slot is given to one living owner at a time, or the
-- lock to readers alone; that what was given stays given until it is released or its
-- epoch is over; and that every token given is higher than all before it in its bucket.

local epoch, gen, ttl, bound = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
horizon = tonumber(ARGV[5])
if not alive(epoch) then return {'over'} end
if call('HGET', P .. 's:' .. epoch, 'gen') ~= gen then return {'stale'} end
local marker = call('HMGET', P .. 'node', 'from', 'base', 'again')
if not marker[1] then return {'over'} end
local from, base, afresh = tonumber(marker[1]), tonumber(marker[2]), tonumber(marker[3] or '0')
-- While the server's memory is full it renews and releases, and gives no new votes.
local full -- why, or nil
if ttl > 0 then
  local r = redis.pcall('ZADD', P .. 'live', 'XX', int(now + ttl), epoch)
  full = noMemory(r)
  if full then
    insist()
    r = redis.pcall('ZADD', P .. 'live', 'XX', int(now + ttl), epoch)
  end
  if type(r) == 'table' then return r end
  if call('PTTL', P .. 's:' .. epoch) < horizon * 3 / 4 then -- Often enough, and not each time.
    for _, key in ipairs({'s:' .. epoch, 'of:' .. epoch, 'live'}) do extend(P .. key) end
  end
end

-- note writes down what an owner has here.
local noted = false
local function note(owner, what, lock)
  call('HSET', P .. 'of:' .. epoch, owner, what .. ' ' .. lock)
  if not noted then touch(P .. 'of:' .. epoch) end
  noted = true
end

-- keep extends what a lock has of itself and, by its letter, of holders or waiters.
local function keep(kind, lock)
  local alone = kind == 'h' and classOf(lock) ~= 's'
  local move = alone and touch or extend
  move(P .. kind .. ':' .. lock)
  if kind == 'w' or classOf(lock) == 's' then extend(P .. 'x:' .. lock) end
end

-- others tells whether another session waits.
local function others(lock)
  if call('EXISTS', P .. 'w:' .. lock) == 0 then return 0 end
  local mine = session(epoch)
  for _, w in ipairs(waiters(lock)) do
    if session(w.who) ~= mine then return 1 end
  end
  return 0
end

-- enlist has an owner wait, and tells the holders of other sessions.
local function enlist(q)
  local who = epoch .. ' ' .. q.owner
  local w = call('HGET', P .. 'w:' .. q.lock, who)
  note(q.owner, 'w', q.lock)
  if not w then
    call('HSET', P .. 'w:' .. q.lock, who, q.mode .. ' ' .. q.ticket .. ' ' .. int(now))
  elseif string.sub(w, -1) == '-' then
    call('HSET', P .. 'w:' .. q.lock, who, string.sub(w, 1, -2))
  end
  if q.class == 's' then call('HSETNX', P .. 'x:' .. q.lock, 'limit', q.limit) end
  keep('w', q.lock)
  local mine = session(epoch)
  local function hint(h)
    if session(h) ~= mine then tell(h, CONTENDED) end
  end
  local held = holders(q.lock)
  for i = 2, #held, 2 do hint(held[i]) end
  if q.class == 'r' then
    for _, h in ipairs(readers(q.lock)) do hint(h) end
  end
end

-- obstacles returns who is in the way, as slots and holders, or nil.
local function obstacles(q)
  local who = epoch .. ' ' .. q.owner
  local list = {}
  if q.class == 's' then
    local h = holder(q.lock, q.slot)
    if h and h ~= who then return holders(q.lock) end
    return nil
  end
  local h = holder(q.lock, '0')
  if h and h ~= who then list = {'0', h} end
  if q.class == 'r' and q.mode == 'x' then
    for _, r in ipairs(readers(q.lock)) do
      list[#list + 1] = '0'
      list[#list + 1] = r
    end
  end
  return #list > 0 and list or nil
end

-- barred tells whether others have a better right to a lock that is free.
local function barred(q)
  local who = epoch .. ' ' .. q.owner
  if q.class ~= 'r' then return reserved(q.lock, who) end
  if call('EXISTS', P .. 'w:' .. q.lock) == 0 then return false end
  local writer, reader = false, false
  for _, w in ipairs(waiters(q.lock)) do
    if w.who ~= who then
      if w.mode == 'x' then writer = true else reader = true end
    end
  end
  local turn = passed(q.lock) >= MAXWRITERS
  if q.mode == 's' then return writer and not turn end
  return turn and reader or reserved(q.lock, who)
end

-- give records a vote.
local function give(q, token)
  local who = epoch .. ' ' .. q.owner
  local had = call('HGET', P .. 'of:' .. epoch, q.owner)
  if had and string.sub(had, 1, 2) == 'w ' then strike(epoch, q.owner, 'w', q.lock) end
  local record = token .. ' ' .. int(now)
  if q.mode == 's' then
    note(q.owner, 'r', q.lock)
    call('HSET', P .. 'r:' .. q.lock, who, record)
  else
    note(q.owner, q.slot, q.lock)
    call('HSET', P .. 'h:' .. q.lock, q.slot, who .. ' ' .. record)
  end
  if q.class == 's' then call('HSETNX', P .. 'x:' .. q.lock, 'limit', q.limit) end
  keep(q.mode == 's' and 'r' or 'h', q.lock)
end

local function floor(q) return math.max(base, tonumber(call('HGET', P .. 'floor', q.bucket) or '0')) end

-- usedOtherwise tells whether a semaphore is in use with another limit.
local function usedOtherwise(q)
  if q.class ~= 's' then return false end
  local limit = call('HGET', P .. 'x:' .. q.lock, 'limit')
  if not limit or limit == q.limit then return false end
  if #holders(q.lock) > 0 or #waiters(q.lock) > 0 then return true end
  call('DEL', P .. 'x:' .. q.lock)
  return false
end

local function refuse(list)
  local answer = {'busy'}
  for i = 1, #list, 2 do
    answer[#answer + 1] = list[i]
    local t, owner = split(list[i + 1])
    answer[#answer + 1] = session(t) .. ' ' .. owner
  end
  return answer
end

-- vote gives a vote if it can be given: to a newcomer, to one who waits, or to one who
-- has it and raises its token.
local function vote(q)
  local had = call('HGET', P .. 'of:' .. epoch, q.owner)
  local what = had and string.match(had, '^%S+')
  local where = q.mode == 's' and 'r' or q.slot
  if what and what ~= 'w' and what ~= where then
    release(epoch, q.owner)
    what = nil
  end
  local holds = what == where
  if not holds then
    if now < from then
      if q.wait then enlist(q) end
      return {'wait', int(from - now)}
    end
    if usedOtherwise(q) then return {'limit'} end
    local list = obstacles(q)
    if list then
      if q.wait then enlist(q) end
      return refuse(list)
    end
    if barred(q) then
      if q.wait then enlist(q) end
      return {'reserved'}
    end
  end
  local token, low = tonumber(q.token), floor(q)
  if holds then
    local v = q.mode == 's' and call('HGET', P .. 'r:' .. q.lock, epoch .. ' ' .. q.owner)
      or string.match(call('HGET', P .. 'h:' .. q.lock, q.slot), '^%S+ %d+ (.*)$')
    if string.match(v, '^%d+') == q.token then return {'given', others(q.lock)} end
  end
  if token <= low then return {'low', int(low)} end
  if token > us + bound then return {'high', int(us + bound)} end
  call('HSET', P .. 'floor', q.bucket, q.token)
  give(q, q.token)
  if not holds then
    if q.class == 'r' then
      if q.mode == 'x' then pass(q.lock) end
      tidy(q.lock)
    elseif q.class == 's' then
      wake(q.lock)
    end
  end
  return {'given', others(q.lock)}
end

-- again gives a vote to one who holds the lock by other nodes. It needs no right to
-- vote: nobody else can hold it, whatever this node has forgotten. But somebody may still
-- count on a vote that it has forgotten, to win with it when a vote of the holder ends:
-- for as long as such a vote wins, it gives none. And one whose votes were deleted may not
-- know that it holds no longer: where a higher token was given since, a majority has to
-- have confirmed that it still has its vote, which wait tells.
local function again(q)
  if now < afresh then return {'wait', int(afresh - now)} end
  if not q.wait and now >= from and tonumber(q.token) < tonumber(call('HGET', P .. 'floor', q.bucket) or '0') then
    return {'doubt'}
  end
  if usedOtherwise(q) then return {'limit'} end
  local list = obstacles(q)
  if list then return refuse(list) end
  if tonumber(q.token) > floor(q) then call('HSET', P .. 'floor', q.bucket, q.token) end
  give(q, q.token)
  return {'given', others(q.lock)}
end

-- check tells whether an owner still has the vote that was given to it for a token, and
-- sees to it that it keeps it.
local function check(q)
  local what = string.match(call('HGET', P .. 'of:' .. epoch, q.owner) or '', '^%S+')
  local who, v = epoch .. ' ' .. q.owner, nil
  if q.mode == 's' and what == 'r' then
    v = who .. ' ' .. (call('HGET', P .. 'r:' .. q.lock, who) or '')
  elseif q.mode == 'x' and what == q.slot then
    v = call('HGET', P .. 'h:' .. q.lock, q.slot)
  end
  local start = who .. ' ' .. q.token .. ' '
  if not v or string.sub(v, 1, #start) ~= start then return {'gone'} end
  keep(q.mode == 's' and 'r' or 'h', q.lock)
  return {'given'}
end

-- free gives back or withdraws, and tells whether there was a vote. A writer that held
-- the lock by other nodes than this one has passed the readers who wait here, too.
local function free(q)
  local what, there = release(epoch, q.owner)
  if q.wait and q.class == 'r' and q.mode == 'x' and (not what or what == 'w') then
    pass(q.lock)
    wake(q.lock)
  end
  return {'free', there and what ~= 'w' and 1 or 0}
end

-- yield gives a vote back and waits on. It wakes others only where nobody has won.
local function yield(q)
  local had = call('HGET', P .. 'of:' .. epoch, q.owner)
  local what = had and string.match(had, '^%S+')
  if what and what ~= 'w' then strike(epoch, q.owner, what, q.lock) end
  enlist(q)
  if q.wait then wake(q.lock, epoch .. ' ' .. q.owner) end
  return {'free'}
end

-- The letters of requests; protocol.go has them, too.
local VOTE, AGAIN, RELEASE, YIELD, CHECK = 'V', 'R', 'F', 'Y', 'C'
local kinds = {[VOTE] = vote, [AGAIN] = again, [RELEASE] = free, [YIELD] = yield, [CHECK] = check}
local answers = {'ok'}
for i = 6, #ARGV, 10 do
  local q = {
    owner = ARGV[i + 1], mode = ARGV[i + 2], wait = ARGV[i + 3] == '1', token = ARGV[i + 4], ticket = ARGV[i + 5],
    slot = ARGV[i + 6], limit = ARGV[i + 7], bucket = ARGV[i + 8], lock = ARGV[i + 9],
  }
  q.class = classOf(q.lock)
  -- A request that fails, as on a key of another type, fails alone, and leaves no vote.
  local kind = ARGV[i]
  local ok, answer
  if full and kind == VOTE then
    answers[#answers + 1] = {'error', full}
  else
    ok, answer = pcall(kinds[kind], q)
    if not ok and not full and noMemory(answer) then
      full = noMemory(answer)
      if kind ~= VOTE then
        insist()
        ok, answer = pcall(kinds[kind], q)
      end
    end
    if not ok and (kind == VOTE or kind == AGAIN) then pcall(release, epoch, q.owner) end
    answers[#answers + 1] = ok and answer or {'error', type(answer) == 'table' and answer.err or tostring(answer)}
  end
end

local dead = call('ZRANGEBYSCORE', P .. 'live', '-inf', '(' .. int(now), 'LIMIT', '0', '1')[1]
if dead then pcall(bury, dead) end
publish()
return answers
