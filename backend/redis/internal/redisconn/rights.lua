-- Scripts that make a session known begin with this file. They try what others call, so
-- that a missing right is named then, and not found out when a lock is half taken.

local function try(...)
  local r = redis.pcall(...)
  local why = type(r) == 'table' and r.err
  if why and (string.find(why, 'NOPERM') or string.find(why, 'ACL failure') or string.find(why, "user executing the script can't")
    or string.find(why, '[Uu]nknown.*command')) then
    error(redis.error_reply('NOPERM ' .. select(1, ...) .. ' on ' .. (select(2, ...) or 'no key') .. ' is a right that dlock needs: ' .. why))
  end
end

-- lacking tries what all of them call, on a key that is never there outside of this and on
-- a channel, and by more what else there is. It returns the first refusal, or nil.
local function lacking(probe, channel, more)
  local ok, why = pcall(function()
    try('TIME')
    try('DEL', probe)
    try('EXISTS', probe)
    try('GET', probe)
    try('SET', probe, 0, 'XX')
    try('PTTL', probe)
    try('PEXPIRE', probe, 1)
    try('ZADD', probe, 'XX', 0, 'm')
    try('ZREM', probe, 'm')
    try('ZSCORE', probe, 'm')
    try('ZRANGEBYSCORE', probe, 0, 0)
    try('HGET', probe, 'f')
    try('HMGET', probe, 'f')
    try('HGETALL', probe)
    try('HKEYS', probe)
    try('HSET', probe, 'f', 0)
    try('HINCRBY', probe, 'f', 1)
    try('HDEL', probe, 'f')
    more()
    redis.call('DEL', probe)
    try('PUBLISH', channel, '')
  end)
  if ok then return nil end
  redis.pcall('DEL', probe)
  return type(why) == 'table' and why or redis.error_reply(why)
end
