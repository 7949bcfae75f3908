-- Makes a connection the one that speaks for an epoch, and the epoch a living one if it
-- is to begin. Returns 1, or 0 when the epoch is over and another has to begin.
-- It returns the format of the keys, as a text, when that is another than the session
-- knows, or an error that names a right that is missing, and does nothing then.
-- ARGV: run_id, uptime in ms, how the node stands if it has no marker, the
-- longest time to live in ms, the run_ids of a new quorum;
-- epoch, connection, time to live in ms if the epoch begins or 0, host, pid, reason, format, horizon.
--
-- It keeps the invariant that a server votes only when it remembers all votes that
-- count: one that has lost its marker, or has started since it was set, has perhaps
-- forgotten some, and waits until every lease of then is over. Votes of then win
-- nothing after WinsFor of package vote, so that after more than that it may vote for
-- who holds by other nodes. It may have granted tokens up to its clock plus the longest
-- time to live: base is above them.

horizon = tonumber(ARGV[13])
if ARGV[8] ~= '0' then
  local probe = P .. 'probe'
  local why = lacking(probe, P .. 'c:' .. session(ARGV[6]), function()
    try('ZUNIONSTORE', probe, 1, probe)
    try('HVALS', probe)
    try('HSCAN', probe, 0)
    try('HSETNX', probe, 'f', 0)
  end)
  if why then return why end
end

insist() -- A session takes little, and is needed to keep and to release what is held.
local format = call('GET', P .. 'format')
if not format then
  call('SET', P .. 'format', ARGV[12])
elseif format ~= ARGV[12] then
  return format
end

local run, uptime, standing, most = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local marker = call('HMGET', P .. 'node', 'run', 'most')
most = math.max(most, tonumber(marker[2] or '0'))
if marker[1] ~= run then
  local since = now -- When it has lost its data, at the latest.
  if marker[1] or standing == 'unsure' then since = now - uptime end
  local from, base, again = since + most, us, since + math.min(most / 3, 3500)
  if not marker[1] and standing == 'new' then
    from, again = 0, 0
  else
    base = math.max(us, tokenAt(from))
  end
  call('HSET', P .. 'node', 'run', run, 'from', int(from), 'base', int(base), 'again', int(again))
  if standing == 'new' and not marker[1] then
    call('HSET', P .. 'node', 'born', int(now), 'peers', ARGV[5])
  else
    call('HDEL', P .. 'node', 'born', 'peers')
  end
  -- Votes that came back from the disk may be out of date.
  if call('EXISTS', P .. 'live') == 1 then
    call('ZUNIONSTORE', P .. 'live', '1', P .. 'live', 'WEIGHTS', '0')
    extend(P .. 'live')
  end
end
call('HSET', P .. 'node', 'most', int(most))

local epoch, gen, ttl = ARGV[6], ARGV[7], tonumber(ARGV[8])
if ttl > 0 then
  call('ZADD', P .. 'live', int(now + ttl), epoch)
  extend(P .. 'live')
elseif not alive(epoch) then
  return 0
end
call('HSET', P .. 's:' .. epoch, 'gen', gen, 'host', ARGV[9], 'pid', ARGV[10], 'reason', ARGV[11])
extend(P .. 's:' .. epoch)
return 1
