-- 0009 Intelligence: scores of watched wallets, what they did on chain, what was read into it, and the bias
-- that follows. Scores are points in time and never recomputed. Addresses and hashes are unbounded text:
-- chains differ.

alter table wallets add check (chain <> ''), add check (address <> '' and address !~ '[[:space:][:cntrl:]]');

create table wallet_scores_shape (
  wallet_id uuid not null,
  ts timestamptz not null,
  credibility_1h numeric(9,4) check (credibility_1h between 0 and 10),
  credibility_4h numeric(9,4) check (credibility_4h between 0 and 10),
  credibility_24h numeric(9,4) check (credibility_24h between 0 and 10),
  equity_usd numeric(38,18),
  trading_volume_24h numeric(38,18) check (trading_volume_24h >= 0),
  win_rate numeric(9,8) check (win_rate between 0 and 1),
  archetype text,
  primary key (wallet_id, ts)
);
select create_series('wallet_scores', 'week', 'wallet_id');
alter table wallet_scores add foreign key (wallet_id) references wallets;
select describe('wallet_scores', 'Skill of a wallet as it was known at a time', $$
  wallet_id          | wallet
  ts                 | time of the score
  credibility_1h     | 0 to 10, for moves within an hour
  credibility_4h     | 0 to 10, for moves within four hours
  credibility_24h    | 0 to 10, for moves within a day
  equity_usd         | what the wallet holds, in USD
  trading_volume_24h | what it traded in a day, in USD
  win_rate           | 0 to 1, shrunk towards a half
  archetype          | kind of trader that it looks like
$$);

create table wallet_events_shape (
  ts timestamptz not null,
  id uuid not null default qs.uuid7(),
  wallet_id uuid not null,
  chain text not null check (chain <> ''),
  tx_hash text not null check (tx_hash <> ''),
  log_index int not null default 0 check (log_index >= 0),
  event_type text not null check (event_type <> ''),
  asset text,
  amount numeric(78,18),
  notional_usd numeric(38,18),
  size_fraction numeric(18,8),
  venue text,
  gas_price numeric(38,18) check (gas_price >= 0),
  is_first_since_watch boolean not null default false,
  raw_data jsonb,
  processed_at timestamptz not null default clock_timestamp(),
  primary key (id, ts),
  unique (chain, tx_hash, log_index, ts)
);
select create_series('wallet_events', 'week', 'wallet_id');
alter table wallet_events add foreign key (wallet_id) references wallets;
create index wallet_events_wallet on wallet_events (wallet_id, ts desc);
create index wallet_events_type on wallet_events (event_type, ts desc);
select describe('wallet_events', 'What watched wallets did on chain; one transaction may hold several', $$
  ts                   | time of the block
  id                   | UUIDv7
  wallet_id            | wallet
  chain                | network
  tx_hash              | transaction, in the network's own spelling
  log_index            | position within the transaction
  event_type           | SWAP, TRANSFER, OPEN, CLOSE ...
  asset                | what was moved
  amount               | how much, in units of the asset
  notional_usd         | its value in USD
  size_fraction        | share of the wallet's equity
  venue                | protocol or exchange
  gas_price            | in the network's smallest unit
  is_first_since_watch | first of this asset since the wallet is watched
  raw_data             | as it came
  processed_at         | when it was read
$$);

-- No foreign key to the event: analyses outlive the partition that it was in.
create table wallet_event_analyses (
  event_id uuid primary key,
  event_ts timestamptz not null,
  llm_classification text,
  llm_confidence numeric(9,8) check (llm_confidence between 0 and 1),
  llm_narrative text,
  pattern_matched text,
  bias_impact numeric(9,8) check (bias_impact between -1 and 1),
  proposed_action jsonb,
  embedding real[] check (array_length(embedding, 1) = 768),
  created_at timestamptz not null default clock_timestamp()
);
-- 768 numbers as a vector where pgvector is installed, so that the search of similar events may have an index;
-- `embedding::real[]` reads both.
do $$
declare
  ext name := extension_schema('vector');
begin
  if ext is not null then
    alter table wallet_event_analyses drop constraint wallet_event_analyses_embedding_check;
    execute format('alter table wallet_event_analyses alter column embedding type %1$I.vector(768)
                    using embedding::%1$I.vector(768)', ext);
  end if;
  insert into capability (name, value, detail) values
    ('EMBEDDINGS', case when ext is null then 'ARRAY' else 'VECTOR' end,
     case when ext is null then 'no pgvector: real[], compared one by one' end);
end $$;
select describe('wallet_event_analyses', 'What was read into an event on chain', $$
  event_id           | event
  event_ts           | its time, to find its partition
  llm_classification | kind of move, by rules or a model
  llm_confidence     | 0 to 1
  llm_narrative      | in words
  pattern_matched    | pattern by name
  bias_impact        | -1 to 1
  proposed_action    | what would follow
  embedding          | 768 numbers, for the search of similar events; vector(768) where pgvector is installed
  created_at         | when it was made
$$);

create table market_bias_shape (
  asset text not null check (asset <> ''),
  timeframe text not null check (timeframe <> ''),
  ts timestamptz not null,
  value numeric(9,8) not null check (value between -1 and 1),
  components jsonb not null default '{}',
  confidence numeric(9,8) check (confidence between 0 and 1),
  primary key (asset, timeframe, ts)
);
select create_series('market_bias', 'week', 'asset, timeframe');
select describe('market_bias', 'Direction that watched wallets lean to', $$
  asset      | asset
  timeframe  | horizon: 1h, 4h, 24h
  ts         | time
  value      | -1 to 1
  components | what it was made of
  confidence | 0 to 1
$$);

insert into retention_policies (subject, table_name, time_column, keep, archive, basis) values
  ('chain events', 'wallet_events', 'ts', '90 days', false, 'size; the chain keeps them'),
  ('wallet scores', 'wallet_scores', 'ts', '180 days', false, 'use: scores decay'),
  ('bias', 'market_bias', 'ts', '30 days', false, 'use: short-lived');

insert into table_classes (table_name, class, origin) values
  ('wallet_scores', 'SERIES', 'the scorer'),
  ('wallet_events', 'SERIES', 'chain watchers'),
  ('wallet_event_analyses', 'SERIES', 'the analyst'),
  ('market_bias', 'SERIES', 'the analyst');

do $$ begin
  if qs.role_profile() = 'REDUCED' then
    return;
  end if;
  grant select on wallet_scores, wallet_events, wallet_event_analyses, market_bias to qs_engine, qs_app, qs_view;
  grant insert on wallet_scores, wallet_events, wallet_event_analyses, market_bias to qs_engine;
end $$;
