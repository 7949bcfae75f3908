-- Tells who holds a lock and who waits for it, and changes nothing.
--
-- KEYS: the lock. ARGV: what keys begin with.
-- Answers with a list of {kind, ordinal, host, process, reason}, where kind is h
-- for a holder, q for who waits exclusively, p for who waits to share.

local call, match = redis.call, string.match
local base, key = ARGV[1], KEYS[1]
local answer, info = {}, {}

local function add(kind, s, ordinal)
  if not info[s] then
    info[s] = call('EXISTS', base .. 'a:' .. s) == 1 and call('HMGET', base .. 'i:' .. s, 'h', 'p', 'r') or {}
  end
  if info[s][1] then
    answer[#answer + 1] = {kind, ordinal, info[s][1], info[s][2], info[s][3]}
  end
end

local kind = call('TYPE', key).ok
local m
if kind == 'string' then
  local s, ordinal = match(call('GET', key), '^(.*):%d+:(%d+)%a?$')
  if s then add('h', s, ordinal) end
elseif kind == 'hash' then
  local all = call('HGETALL', key)
  for i = 1, #all, 2 do
    local s = match(all[i], '^(.*):%d+$')
    if s then
      add('h', s, match(all[i + 1], '%d+'))
    elseif all[i] == 'm' then
      m = all[i + 1]
    end
  end
end
for _, queue in ipairs({'q', 'p'}) do
  local all = call('ZRANGE', base .. queue .. string.sub(key, #base + 1), 0, -1, 'WITHSCORES')
  for i = 1, #all, 2 do
    add(queue, match(all[i], '^(.*):'), string.format('%.0f', all[i + 1]))
  end
end
return {m or '', answer}
