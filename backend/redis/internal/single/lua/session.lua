-- Ends one session and begins another. What an ended session leaves behind is for
-- whoever comes by; those who wait are told to look by the count of the dead.
--
-- KEYS: the key of the new session, or of the old one when there is no new one.
-- ARGV: what keys begin with, old session or "", new session or "", ttl and
-- horizon in ms, 1 if the old session may leave something behind, else 0; then
-- of the new one the format that it knows, what Inspect tells of it: host, process,
-- reason, and the channel of its messages.
--
-- Answers with the count of the dead, or with the format of the keys as a text when
-- that is another one, or with an error that names a right that is missing, and does
-- nothing then.

local call = redis.call
local EPOCH = 1577836800 -- as in batch.lua
local base, old, new = ARGV[1], ARGV[2], ARGV[3]

if new ~= '' then
  local probe = base .. 'x'
  local why = lacking(probe, ARGV[11], function()
    try('ZRANGE', probe, 0, 0)
    try('HLEN', probe)
    try('HEXISTS', probe, 'f')
    try('INCR', probe)
  end)
  if why then return why end
  local format = call('GET', base .. 'format')
  if not format then
    call('SET', base .. 'format', ARGV[7])
  elseif format ~= ARGV[7] then
    return format
  end
end
if old ~= '' then
  call('DEL', base .. 'a:' .. old, base .. 'i:' .. old)
  call('ZREM', base .. 'l', old)
  if ARGV[6] == '1' then
    call('INCR', base .. 'd')
    call('PEXPIRE', base .. 'd', ARGV[5])
  end
end
if new ~= '' then
  -- It is there when this was asked before and the answer was lost.
  call('SET', base .. 'a:' .. new, 0, 'NX', 'PX', ARGV[4])
  local time, info = call('TIME'), base .. 'i:' .. new
  local deadline = (time[1] - EPOCH) * 1000000 + time[2] + ARGV[4] * 1000
  call('ZADD', base .. 'l', string.format('%.0f', deadline), new)
  call('HSET', info, 'n', 0, 'h', ARGV[8], 'p', ARGV[9], 'r', ARGV[10])
  call('PEXPIRE', info, 3 * ARGV[4])
end
return tonumber(call('GET', base .. 'd') or 0)
