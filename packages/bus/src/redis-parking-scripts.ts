import { SHARED, script } from "./redis-script.ts";

/**
 * ARGV: group, the group that must have acknowledged, maxBytes, minAgeMs. Gives the oldest entries that the first
 * one needs: pending or unread.
 */
export const FIND_PARKABLE = script(`${SHARED}
local group, other
for _, g in ipairs(groups()) do
  if g.name == ARGV[1] then group = g elseif g.name == ARGV[2] then other = g end
end
if not group or not other then return {} end
local function first_pending(g)
  return g.pending > 0 and redis.call('XPENDING', stream, g.name)[2] or nil
end
local last = group['last-delivered-id']
local upto = first_pending(other)
local stop = upto and '(' .. upto or other['last-delivered-id']
if upto and before(other['last-delivered-id'], upto) then stop = other['last-delivered-id'] end
local from = first_pending(group) or '(' .. last
local time = redis.call('TIME')
local newest = time[1] * 1000 + math.floor(time[2] / 1000) - tonumber(ARGV[4])
local found, bytes = {}, 0
while true do
  local page = redis.call('XRANGE', stream, from, stop, 'COUNT', 16)
  for _, e in ipairs(page) do
    if tonumber(string.match(e[1], '^%d+')) > newest then return found end
    local unread = before(last, e[1])
    if unread or #redis.call('XPENDING', stream, ARGV[1], e[1], e[1], 1) == 1 then
      for _, text in ipairs(e[2]) do bytes = bytes + #text end
      if #found > 0 and (bytes > tonumber(ARGV[3]) or #found >= 256) then return found end
      found[#found + 1] = e
    end
  end
  if #page < 16 then return found end
  from = '(' .. page[#page][1]
end`);

/** KEYS[3] parked. ARGV: group, name, ids in order. Takes them from the group: 1, or 0 where it needs one no more. */
export const PARK = script(`${SHARED}
local group, field = ARGV[1], ARGV[1] .. '/' .. ARGV[2]
if redis.call('HEXISTS', KEYS[3], field) == 1 then return 1 end
local state
for _, g in ipairs(groups()) do if g.name == group then state = g end end
if not state then return 0 end
local last, reached, skipped, messages = state['last-delivered-id'], nil, 0, 0
for at = 3, #ARGV do
  local id = ARGV[at]
  if before(last, id) then
    local next = redis.call('XRANGE', stream, '(' .. (reached or last), '+', 'COUNT', 1)[1]
    if not next or next[1] ~= id then return 0 end
    reached, skipped = id, skipped + 1
  elseif #redis.call('XPENDING', stream, group, id, id, 1) == 0 then return 0 end
  local ordinal, n = own(id)
  if ordinal then messages = messages + n end
end
-- Acknowledging comes first: once a script has written, a full memory does not stop it.
for at = 3, #ARGV do
  redis.call('XACK', stream, group, ARGV[at])
  settle_entry(group, ARGV[at])
end
if reached then
  local read = state['entries-read']
  if read then redis.call('XGROUP', 'SETID', stream, group, reached, 'ENTRIESREAD', string.format('%.0f', read + skipped))
  else redis.call('XGROUP', 'SETID', stream, group, reached) end
end
redis.call('HSET', KEYS[3], field, messages)
redis.call('HINCRBY', ledger, group .. ':parked', messages)
return 1`);

/** KEYS[3] parked. ARGV: group, name, stored, duplicate, quarantined. 1 where it counted. */
export const UNPARK = script(`${SHARED}
local group, field = ARGV[1], ARGV[1] .. '/' .. ARGV[2]
local messages = redis.call('HGET', KEYS[3], field)
if not messages then return 0 end
redis.call('HDEL', KEYS[3], field)
redis.call('HINCRBY', ledger, group .. ':parked', -tonumber(messages))
local sum = 0
for k, name in ipairs({ ':stored', ':duplicate', ':quarantined' }) do
  local n = tonumber(ARGV[2 + k])
  sum = sum + n
  if n > 0 then redis.call('HINCRBY', ledger, group .. name, n) end
end
local foreign = sum - tonumber(messages)
if foreign > 0 then redis.call('HINCRBY', ledger, group .. ':foreign', foreign) end
return 1`);
