-- Tells who holds a lock and who waits for it, as far as this node knows: rows of
-- kind (h or w), id of the session, owner, mode, token or ticket, since in ms, host,
-- pid, reason. It changes nothing. ARGV: lock.

local rows = {}
local function row(kind, who, mode, number, since)
  local epoch, owner = split(who)
  if not alive(epoch) then return end
  local party = call('HMGET', P .. 's:' .. epoch, 'host', 'pid', 'reason')
  rows[#rows + 1] = {kind, session(epoch), owner, mode, number, since, party[1] or '', party[2] or '', party[3] or ''}
end
for _, v in ipairs(call('HVALS', P .. 'h:' .. ARGV[1])) do
  local who, token, since = string.match(v, '^(%S+ %d+) (%d+) (%d+)$')
  row('h', who, 'x', token, since)
end
local all = call('HGETALL', P .. 'r:' .. ARGV[1])
for i = 1, #all, 2 do
  local token, since = string.match(all[i + 1], '^(%d+) (%d+)$')
  row('h', all[i], 's', token, since)
end
all = call('HGETALL', P .. 'w:' .. ARGV[1])
for i = 1, #all, 2 do
  local mode, ticket, since = string.match(all[i + 1], '^(%a) (%d+) (%d+)')
  row('w', all[i], mode, ticket, since)
end
return rows
