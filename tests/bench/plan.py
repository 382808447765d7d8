"""Every figure that is measured, with its budget where the plan names one (cockpit.md, Budgets; issue 2, Must show)."""

from __future__ import annotations

from tests.bench.figures import Figure as F, Section

SECTIONS = (
    Section(
        "First paint (pseudo-terminal, from process start to the first line on the screen)",
        (
            F("paint_bare", "a bare Textual app, 200x50", "ms"),
            F("paint_fresh_200", "cockpit, fresh data folder, 200x50", "ms", budget=700),
            F("paint_again_200", "cockpit, second start, 200x50", "ms", budget=700),
            F("paint_again_80", "cockpit, second start, 80x24", "ms", budget=700),
            F("paint_down_200", "cockpit, database down, 200x50", "ms", budget=700),
            F("data_fresh", "cockpit, fresh: until the market is on the screen", "ms"),
            F("data_again", "cockpit, second start: until the market is on the screen", "ms"),
        ),
    ),
    Section(
        "Key to paint (200x50)",
        (
            F("key_live_p50", "cockpit, events of a market with 20 candles/s, p50", "ms", 1, 12),
            F("key_live_p95", "the same, p95", "ms", 1, 40),
            F("key_ours_500_p50", "our table, 500 rows, 20 updates/s, p50", "ms", 1, 12),
            F("key_ours_500_p95", "the same, p95", "ms", 1, 40),
            F("key_stock_500_p50", "Textual's DataTable, 500 rows, 20 updates/s, p50", "ms", 1),
            F("key_stock_500_p95", "the same, p95", "ms", 1),
            F("key_ours_50k_p50", "our table, 50,000 rows, 20 updates/s, p50", "ms", 1, 12),
            F("key_ours_50k_p95", "the same, p95", "ms", 1, 40),
            F("chart_cursor_p50", "a chart's cursor, screen 4, p50", "ms", 1, 12),
            F("chart_cursor_p95", "the same, p95", "ms", 1, 40),
            F("kill_dialog", "F9 until its dialog is on the screen, p50", "ms", 1, 50),
            F("kill_blocked", "screen's loop blocked: F9 until the latch file is there, p50", "ms", 1, 500),
        ),
    ),
    Section(
        "At rest and at work (200x50; CPU of the cockpit's process, engine included)",
        (
            F("idle_ui_cpu", "the screen alone, nothing changes: CPU", "%", 2, 0.3),
            F("idle_cpu", "cockpit, replay paused: CPU", "%", 2, 0.3),
            F("idle_bytes", "cockpit, replay paused: output", "bytes/s", 0, 0),
            F("live_cpu", "cockpit, dashboard with its equity chart, 20 candles/s: CPU", "%", 1, 6),
            F("live_bytes", "the same: output", "kB/s", 1, 12),
            F("live_headless_cpu", "the engine without a screen, 20 candles/s: CPU", "%", 1),
            F("live_lag_p50", "the same cockpit: lag of the engine's loop, worst of each second: p50", "ms", 1),
            F("live_lag_p99", "the same, p99", "ms", 1, 5),
            F("headless_lag_p99", "the engine without a screen, p99 of the same", "ms", 1),
            F("bare_lag_p99", "an asyncio loop that does nothing, p99 of the same: the machine's own", "ms", 1),
        ),
    ),
    Section(
        "Memory (resident set, after the work above)",
        (
            F("rss_ui", "the screen with a scripted engine (no database, no feed)", "MB", 0, 75),
            F("rss_headless", "the engine without a screen, 20 candles/s", "MB"),
            F("rss_whole", "cockpit: screen and engine, 20 candles/s", "MB"),
            F("rss_added", "what the screen adds to the engine", "MB", 0, 75),
            F("rss_bare", "a bare Textual app", "MB"),
        ),
    ),
    Section(
        "Charts (120x30, drawn to strips, data that moves on; beside plain plotext, drawn to a string)",
        (
            F("chart_line", "equity, 480 points", "ms", 1, 8),
            F("chart_line_plain", "plain plotext, the same points", "ms", 1),
            F("chart_drawdown", "drawdown, 480 points", "ms", 1, 8),
            F("chart_drawdown_plain", "plain plotext, the same points", "ms", 1),
            F("chart_candles", "100 candles", "ms", 1, 20),
            F("chart_candles_plain", "plain plotext, the same candles", "ms", 1),
            F("chart_results", "results of 300 round trips", "ms", 1, 8),
            F("chart_results_plain", "plain plotext, the same results", "ms", 1),
            F("chart_many", "equity, 1,000,000 points", "ms", 1),
        ),
    ),
    Section(
        "Engine",
        (
            F("run_candles", "headless, on Postgres, process start to exit: candles", "/s"),
            F("core_candles", "default config, two months of minutes, journal in memory: candles", "/s"),
            F("commits_1", "journal on Postgres, 1 event a commit: commits", "/s"),
            F("commits_10", "journal on Postgres, 10 events a commit: commits", "/s"),
            F("events_500", "journal on Postgres, 500 events a commit: events", "/s"),
            F("server_first", "embedded PostgreSQL, first start (cluster made)", "ms"),
            F("server_again", "embedded PostgreSQL, second start", "ms"),
        ),
    ),
    Section(
        "Engine on the common workload (1,000,000 candles, 8,593 round trips, to the cent; seconds of CPU)",
        (
            F("golden_candles", "decide, evolve, paper venue, journal in memory: candles a CPU second", "/s"),
            F("plain_candles", "the plain-Python event loop (the yardstick): candles a CPU second", "/s"),
            F("prototype_candles", "the yardstick of the research folder: candles a CPU second", "/s"),
            F("golden_share", "ours against the yardstick", "x", 2, 0.40, at_least=True),
            F("golden_share_prototype", "ours against that of the research folder", "x", 2, 0.40, at_least=True),
            F("golden_growth", "cost of a candle at 1,000,000 over 100,000", "x", 2, 1.10),
            F("golden_late", "the last 100,000 of them over the first of a fresh run, in turns", "x", 2, 1.10),
            F("golden_peak", "peak memory, candles streamed", "MB", 0, 400),
            F("plain_peak", "the yardstick's", "MB"),
            F("fold_events", "evolve over 1,000,000 events", "s", 2, 5),
            F("fold_decoded", "the same from their journaled bytes", "s", 2, 20),
            F("order_p50", "bar to order bytes, every gate asked, p50", "us", 0, 50),
            F("order_p99", "the same, p99", "us", 0, 250),
        ),
    ),
    Section(
        "Time machine (a journal of 100,000 events in memory, jumps and steps without a pause)",
        (
            F("travel_step_p50", "one event back or on, the picture made anew, p50", "ms", 1, 40),
            F("travel_step_p95", "the same, p95", "ms", 1),
            F("travel_jump", "a jump to another place, p50", "ms"),
            F("travel_lag_p99", "lag of the engine's loop meanwhile, p99", "ms", 1, 5),
            F("travel_quiet_p99", "the same while nobody travels", "ms", 1),
        ),
    ),
    Section(
        "Database (raw COPY: the same rows into the same table through the same driver, in the same process)",
        (
            F("tick_rows", "ticks stored, conversion included: rows", "/s"),
            F("tick_raw", "raw COPY of prepared tuples: rows", "/s"),
            F("tick_ratio", "ticks against raw COPY", "x", 2, 0.8, at_least=True),
            F("journal_1", "journal, 1 producing task: events", "/s"),
            F("journal_8", "journal, 8 producing tasks: events", "/s"),
            F("journal_128", "journal, 128 producing tasks: events", "/s"),
            F("journal_1_ratio", "1 task against raw COPY (which makes one commit of all)", "x", 3),
            F("journal_8_ratio", "8 tasks against raw COPY", "x", 3),
            F("journal_128_ratio", "128 tasks against raw COPY", "x", 3),
            F("journal_lost", "events that a reader with a cursor lost, all of them together", "events", 0, 0),
            F("newest_200", "the newest 200 events of 100,000", "ms", 1),
            F("cursor_10000", "10,000 events by cursor", "ms", 1),
            F("rollup_minutes", "1.5 million ticks into one-minute bars", "s", 2),
            F("rollup_plain", "a plain GROUP BY of the same, kept nowhere", "s", 2),
            F("rollup_longer", "those minutes into 5m, 15m, 30m, 1h, 4h, 1d, 1w", "s", 2),
            F("fingerprint", "the catalog's fingerprint", "ms", 1),
        ),
    ),
    Section(
        "Commands, from a cold shell",
        (
            F("halt", "quantsail halt", "ms", 0, 500),
            F("help", "quantsail --help", "ms", 0, 300),
            F("status", "quantsail status --json", "ms"),
            F("python", "python -c pass, for comparison", "ms"),
        ),
    ),
    Section(
        "Installed size",
        (
            F("install", "a fresh environment with the base dependencies, pip and setuptools taken off", "MB", 0, 450),
            F("install_whole", "the same with pip and setuptools", "MB"),
        ),
    ),
)

#: Measured by soak.py alone.
SOAK = Section(
    "Soak (dashboard, 200x50, 20 candles a second of a simulated market; every minute a sample)",
    (
        F("soak_drift", "memory: last five minutes against the first five after warm-up", "MB", 2, 2),
        F("soak_rss", "memory: resident set after warm-up", "MB", 1),
        F("soak_bytes", "output", "kB/s", 2, 12),
        F("soak_cpu", "CPU of screen and engine", "%", 2, 6),
        F("soak_candles", "candles played", "/s", 1),
        F("soak_lost", "beats of the engine lost", "beats", 0, 0),
        F("soak_lag_p50", "lag of the engine's loop, worst of each second: p50", "ms", 2),
        F("soak_lag_p99", "the same, p99", "ms", 2, 5),
        F("soak_lag_max", "the same, max", "ms", 2),
    ),
)
