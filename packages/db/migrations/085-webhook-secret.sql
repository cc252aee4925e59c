-- What webhooks are signed with. In a table of its own: only who signs, and who makes it, may look.

CREATE TABLE alert.channel_secret (
  channel_id INTEGER PRIMARY KEY REFERENCES alert.channels ON DELETE CASCADE,
  secret TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
-- Two random UUIDs carry 244 bits.
INSERT INTO alert.channel_secret (channel_id, secret)
SELECT id, 'whsec_' || replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '')
  FROM alert.channels WHERE kind = 'webhook';
