"""What the service owes its clients and its operators, row by row: which tests show it, and which rows are open.

E-rows are those of the table of errors, C-rows what the author of a client expects, O-rows what an operator expects,
T-rows the traps, S-rows the acceptance checks. Rows that no other test shows are tested in `test_service_errors` and
`test_service_rows`.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]

ALERTS = "server/operation/test_alerts.py"
ADMISSION = "server/operation/test_admission.py"
BAD_INPUT = "server/test_bad_input.py"
CONNECTIONS = "server/test_admin_connections.py"
ERRORS = "server/test_service_errors.py"
GUARDED = "server/test_guarded.py"
HEALTH = "server/test_health.py"
METRICS = "server/operation/test_metrics.py"
MODIFY = "server/test_modify.py"
OBSERVING = "behaviour/test_observing.py"
OPERATIONS = "server/test_operations.py"
QUERY = "server/test_query.py"
ROWS = "server/test_service_rows.py"
SCHEMAS = "server/test_schemas.py"
STOPPING = "server/test_stopping.py"
SYNC = "server/test_sync.py"
TENANTS = "server/test_tenants.py"
TRANSACTIONS = "server/test_transactions.py"
UNAVAILABLE = "server/test_unavailable.py"
UNSAFE = "server/test_unsafe.py"
WATCH = "server/test_watch.py"

MISTAKES = f"{ERRORS}::test_what_callers_do_wrong_is_named_with_what_would_mend_it"
TABLE = f"{ERRORS}::test_what_the_database_does_is_told_by_the_table_and_never_with_a_trace"
ATTACKED = f"{BAD_INPUT}::test_hostile_requests_are_refused_by_every_method"
DAMAGE = f"{ERRORS}::test_damage_is_told_with_where_it_is"
UNKNOWN = f"{ERRORS}::test_a_commit_of_unknown_outcome_is_resolved_with_a_key_and_told_without"
LOCKED = f"{UNAVAILABLE}::test_calls_to_a_database_that_is_locked_say_so"
SILENT = f"{UNAVAILABLE}::test_calls_to_a_database_that_does_not_answer_end_at_once"
CRASH = "server/test_crashes.py::test_what_was_committed_before_the_server_died_is_not_applied_again"
ROLLING = "server/test_rolling.py::test_a_rolling_restart_under_load_shows_no_error_that_is_not_to_be_tried_again"
REPLICAS = "server/test_sync_replicas.py::test_a_replica_that_is_fed_by_change_lists_alone_holds_what_the_store_holds"
MOVES = (
    "server/test_sync_replicas.py::"
    "test_a_replica_follows_a_database_that_moves_to_another_cluster_and_copies_nothing_again"
)
CONTINUATIONS = f"{QUERY}::test_a_continuation_works_for_its_own_query_and_database_alone"
PROMISE = "server/test_protos.py::test_what_was_promised_is_there_with_its_number"
SIMULATED = "behaviour/test_simulated_service.py::test_requests_count_once_and_change_lists_hold_what_the_store_holds"

WHAT_ERRORS_SAY: dict[str, tuple[str, ...]] = {
    "E01 malformed, unknown field, bad filter": (
        MISTAKES,
        f"{BAD_INPUT}::test_bytes_that_are_no_message_are_refused_by_every_method",
    ),
    "E02 batch, record or transaction too large": (
        MISTAKES,
        TABLE,
        f"{MODIFY}::test_what_is_too_large_names_the_limit",
    ),
    "E03 no index for the query": (MISTAKES, f"{QUERY}::test_aggregates_come_from_indexes"),
    "E04 index being built": (f"{QUERY}::test_an_index_that_is_being_built_is_named_with_how_far_it_is",),
    "E05 stale change tag": (
        MISTAKES,
        f"{MODIFY}::test_a_conflict_gives_the_record_as_it_is_and_is_not_to_be_retried",
        f"{MODIFY}::test_a_conflict_with_a_record_that_has_no_room_in_a_status_says_so",
    ),
    "E06 create of what exists": (MISTAKES, f"{MODIFY}::test_the_seven_operations_on_what_is_there_and_what_is_not"),
    "E07 unique index violated": (MISTAKES,),
    "E08 record or zone missing": (MISTAKES, DAMAGE),
    "E09 another item of an atomic batch failed": (
        MISTAKES,
        f"{MODIFY}::test_an_atomic_batch_over_two_zones_that_fails_leaves_no_trace",
    ),
    "E10 validating reference": (MISTAKES, f"{MODIFY}::test_a_reference_that_is_to_be_validated_needs_its_target"),
    "E11 sync token too old": (
        f"{SYNC}::test_deletions_whose_time_is_over_are_forgotten_and_readers_begin_anew",
        f"{SYNC}::test_a_zone_that_is_deleted_and_made_again_resets_its_readers",
    ),
    "E12 continuation of another query, schema or key": (
        CONTINUATIONS,
        f"{QUERY}::test_a_continuation_expires_with_a_word_of_its_own",
    ),
    "E13 not signed in": (
        f"{GUARDED}::test_callers_do_what_the_policy_grants_and_nothing_else",
        "server/test_client_secured.py::test_tokens_say_who_calls_and_the_policy_what_they_may_do",
    ),
    "E14 no right, the same as not there": (f"{GUARDED}::test_what_is_forbidden_and_what_is_not_there_look_alike",),
    "E15 storage quota": (
        f"{ERRORS}::test_a_full_database_says_so_and_that_waiting_is_no_use",
        f"{GUARDED}::test_a_database_that_is_full_takes_deletions_only",
    ),
    "E16 rate limit of the tenant": (
        TABLE,
        f"{GUARDED}::test_a_tenant_over_its_share_is_throttled_and_the_others_are_not",
    ),
    "E17 server overloaded": (TABLE, f"{GUARDED}::test_a_server_with_too_much_to_do_sends_calls_away_early"),
    "E18 write conflict": (
        f"{ERRORS}::test_a_conflict_is_tried_again_and_told_when_the_time_is_up",
        f"{TRANSACTIONS}::test_a_transaction_that_read_what_has_changed_is_told_to_begin_again",
    ),
    "E19 read version too old": (TABLE, f"{ROWS}::test_e19_a_page_that_takes_long_ends_early_and_goes_on"),
    "E20 outcome of a commit unknown": (UNKNOWN, TABLE, CRASH),
    "E21 deadline": (
        f"{QUERY}::test_behind_the_deadline_nothing_more_is_read",
        "server/test_deadlines.py::test_a_call_ends_at_its_deadline_and_those_beside_it_go_on",
    ),
    "E22 caller left": (
        f"{QUERY}::test_a_caller_who_leaves_takes_the_work_along",
        "server/test_calls.py::test_a_caller_that_leaves_is_no_running_call",
    ),
    "E23 cluster unreachable": (
        TABLE,
        SILENT,
        f"{HEALTH}::test_readiness_follows_the_database_after_some_looks_in_a_row",
    ),
    "E24 store locked": (
        LOCKED,
        f"{UNAVAILABLE}::test_who_follows_a_database_that_is_closed_is_told_and_goes_on_afterwards",
        f"{TENANTS}::test_a_database_is_moved_and_late_callers_are_told_where",
    ),
    "E25 metadata too old": (
        TABLE,
        "server/test_schema_changes.py::test_servers_that_do_not_know_of_a_new_schema_yet_learn_of_it_and_fail_nobody",
    ),
    "E26 corrupt data": (DAMAGE, TABLE),
    "E27 bug": (
        TABLE,
        "server/test_calls.py::test_an_error_of_the_servers_own_tells_callers_nothing_but_the_request_id",
        ATTACKED,
    ),
}

CLIENTS: dict[str, tuple[str, ...]] = {
    "C01 a versioned package and a promise": (
        PROMISE,
        "server/test_protos.py::test_what_is_new_is_promised_too",
        "golden/test_releases.py::test_the_database_of_a_service_of_a_release_is_served",
    ),
    "C02 null, unset and default": (f"{MODIFY}::test_null_unset_and_default_are_three_things",),
    "C03 values and messages": (
        f"{MODIFY}::test_contents_go_and_come_as_messages_and_the_system_field_is_the_servers",
        "server/test_client.py::test_records_are_saved_loaded_queried_and_deleted_as_messages",
    ),
    "C04 descriptors are found": (
        f"{SCHEMAS}::test_a_schema_is_got_as_its_owner_made_it",
        f"{HEALTH}::test_services_are_listed_when_reflection_is_on_and_only_then",
    ),
    "C05 a status for each item": (
        f"{MODIFY}::test_a_batch_that_is_not_atomic_says_of_each_what_became_of_it",
        DAMAGE,
        f"{QUERY}::test_zones_are_listed_and_looked_up",
    ),
    "C06 retries": (
        TABLE,
        "server/test_client.py::test_a_call_is_tried_again_only_where_the_service_says_so_or_nobody_answered",
        "server/test_service_config.py::test_reads_are_sent_again_and_writes_are_not",
        "server/test_service_config.py::test_it_names_every_unary_method_but_those_that_write",
    ),
    "C07 idempotency keys": (
        CRASH,
        f"{MODIFY}::test_the_same_key_again_gives_the_same_results_and_applies_nothing_twice",
        f"{TRANSACTIONS}::test_a_transaction_with_a_key_is_applied_once",
        f"{ROWS}::test_c7_a_zone_that_was_deleted_once_is_not_deleted_again_by_the_same_request",
        "server/test_client_more.py::test_streams_that_are_cut_go_on_where_they_were_and_change_nothing_twice",
        f"{SCHEMAS}::test_an_applied_schema_is_active_everywhere_at_once_and_sending_it_again_changes_nothing",
        "server/test_subscriptions.py::test_each_kind_tells_what_it_is_about_and_goes_on_where_it_was_acknowledged",
        "server/test_upkeep.py::test_keys_whose_time_is_over_are_forgotten",
    ),
    "C08 deadlines": (
        f"{QUERY}::test_behind_the_deadline_nothing_more_is_read",
        f"{QUERY}::test_a_reply_says_what_the_call_cost_and_had_left",
    ),
    "C09 cancellation": (f"{QUERY}::test_a_caller_who_leaves_takes_the_work_along",),
    "C10 page tokens last": (
        f"{ROWS}::test_c10_a_page_goes_on_at_a_server_that_never_saw_the_query",
        "golden/test_releases.py::test_the_database_of_a_service_of_a_release_is_served",
        f"{QUERY}::test_a_continuation_expires_with_a_word_of_its_own",
    ),
    "C11 early ends of pages": (
        f"{QUERY}::test_pages_end_for_a_reason_and_go_on",
        f"{QUERY}::test_a_page_ends_when_it_has_read_as_many_bytes_as_it_may",
        f"{ROWS}::test_e19_a_page_that_takes_long_ends_early_and_goes_on",
    ),
    "C12 streams with flow control": (
        f"{ROWS}::test_c12_a_reader_that_does_not_read_holds_the_server_back",
        f"{QUERY}::test_a_cut_stream_goes_on_behind_its_last_message",
        f"{QUERY}::test_a_stream_of_changes_answers_each_batch_in_its_order",
    ),
    "C13 field masks": (
        f"{MODIFY}::test_desired_keys_choose_what_comes_back",
        f"{MODIFY}::test_contents_go_and_come_as_messages_and_the_system_field_is_the_servers",
        f"{SYNC}::test_wanted_fields_types_and_contents_as_messages",
    ),
    "C14 time, request id and version in every reply": (
        f"{ROWS}::test_c14_every_reply_says_who_asked_when_and_at_which_version",
        f"{QUERY}::test_what_one_server_wrote_another_reads_even_from_a_stale_state",
    ),
    "C15 consistency": (
        f"{QUERY}::test_what_one_server_wrote_another_reads_even_from_a_stale_state",
        f"{QUERY}::test_a_version_that_nobody_has_seen_is_waited_for_by_the_caller",
        f"{TRANSACTIONS}::test_a_transaction_that_read_what_has_changed_is_told_to_begin_again",
        f"{ROWS}::test_c15_what_a_caller_says_of_consistency_reaches_the_engine",
    ),
    "C16 published limits": (f"{ROWS}::test_c16_o24_a_server_tells_its_limits_and_what_it_is",),
    "C17 transforms": (
        f"{MODIFY}::test_numbers_change_by_what_they_are",
        f"{MODIFY}::test_lists_are_united_and_reduced_and_the_servers_time_is_put_in",
        f"{MODIFY}::test_many_increments_at_once_lose_none",
    ),
    "C18 interactive transactions": (
        f"{TRANSACTIONS}::test_who_leaves_without_a_commit_has_rolled_back_and_his_place_is_free",
        f"{TRANSACTIONS}::test_a_transaction_warns_before_its_time_is_over_and_is_gone_then",
        f"{TRANSACTIONS}::test_a_transaction_that_only_reads_is_held_to_it_by_the_server",
    ),
    "C19 CURRENT and RESET": (
        f"{WATCH}::test_contents_come_from_the_beginning_and_then_as_they_change",
        f"{WATCH}::test_a_zone_that_is_deleted_is_removed_and_one_that_is_made_again_is_reset",
    ),
    "C20 what a three-way merge needs": (
        f"{MODIFY}::test_a_conflict_gives_the_record_as_it_is_and_is_not_to_be_retried",
        "server/test_replica_story.py::test_changes_made_offline_outlive_a_restart_and_are_merged_with_those_of_others",
    ),
    "C21 two Python clients of one definition": (
        "server/test_client_facades.py::test_records_are_modified_queried_counted_and_explained",
        "house/test_generate_blocking.py::test_the_committed_blocking_facade_is_what_the_async_one_gives",
        "house/test_project.py::test_the_packages_of_the_wheel_are_typed_and_there",
    ),
    "C22 a server for users' tests": (
        "server/test_fake.py::test_clients_have_databases_of_their_own_and_what_is_committed_outlives_a_stop",
    ),
    "C23 cases that clients in other languages run": (
        "server/test_conformance.py::test_a_case_is_answered_as_it_is_written",
        "server/test_conformance.py::test_a_difference_is_found_wherever_it_is",
        "node/test_conformance.py::test_every_case_is_answered_to_node_as_it_is_written",
    ),
    "C25 what will go is announced": (
        f"{ROWS}::test_c25_who_uses_what_will_go_is_told_until_when_and_what_takes_its_place",
    ),
    "C26 compression": (f"{ROWS}::test_c26_replies_are_compressed_for_those_who_accept_it_from_a_size_on",),
    "C27 explain": (f"{QUERY}::test_an_explanation_says_which_index_and_what_it_took",),
    "C28 large messages": (
        f"{QUERY}::test_records_larger_than_a_message_go_and_come_in_chunks",
        f"{QUERY}::test_replies_stay_below_the_size_of_a_message",
        f"{BAD_INPUT}::test_chunks_of_more_than_a_record_are_cut_off",
    ),
}

OPERATORS: dict[str, tuple[str, ...]] = {
    "O01 health": (
        f"{ROWS}::test_o1_each_service_has_a_health_of_its_own",
        f"{HEALTH}::test_the_state_changes_after_enough_sights_in_a_row_and_never_otherwise",
        f"{HEALTH}::test_readiness_follows_the_database_after_some_looks_in_a_row",
        f"{HEALTH}::test_a_watcher_sees_every_change",
    ),
    "O02 start-up": (
        "server/test_settings.py::test_everything_that_is_wrong_is_said_at_once",
        "server/test_command.py::test_what_cannot_start_says_why_with_status_2",
        f"{UNSAFE}::test_a_public_address_without_authentication_is_refused",
        f"{UNSAFE}::test_a_public_address_is_served_without_them_on_explicit_word_only",
    ),
    "O03 shutdown": (
        f"{STOPPING}::test_balancers_hear_of_the_end_while_calls_are_still_taken",
        f"{STOPPING}::test_a_running_call_finishes_while_new_ones_are_refused",
        f"{STOPPING}::test_a_call_that_outlasts_the_grace_is_cut_off_and_counted",
        f"{WATCH}::test_a_server_that_stops_ends_streams_with_tokens_that_another_one_takes",
        "server/test_command.py::test_a_server_serves_a_file_and_stops_with_status_0_when_asked",
    ),
    "O04 connections": (
        f"{ROWS}::test_o4_connections_grow_old_and_calls_on_them_do_not_notice",
        "server/test_calls.py::test_a_message_above_the_limit_is_refused_and_the_server_stays",
    ),
    "O05 TLS": (
        f"{GUARDED}::test_a_certificate_that_is_replaced_on_disk_is_shown_to_new_connections",
        f"{GUARDED}::test_a_certificate_says_who_calls",
        f"{UNSAFE}::test_only_callers_with_a_certificate_of_the_authority_are_answered",
        f"{UNSAFE}::test_the_least_version_of_tls_is_1_2",
        "server/security/test_identities.py::test_a_changed_file_is_taken_up_and_a_broken_one_is_not",
    ),
    "O06 authentication": (
        "server/security/test_identities.py::test_a_signed_token_names_its_subject",
        "server/security/test_identities.py::test_a_token_that_somebody_else_signed_names_nobody",
        "server/security/test_identities.py::test_keys_at_an_address_are_asked_again_when_a_token_names_a_new_one",
        "server/security/test_identities.py::test_static_tokens_are_found_by_their_hash",
        f"{UNSAFE}::test_a_public_address_is_served_without_them_on_explicit_word_only",
    ),
    "O07 authorisation": (
        f"{GUARDED}::test_callers_do_what_the_policy_grants_and_nothing_else",
        f"{GUARDED}::test_every_method_of_the_service_has_a_right",
        "server/security/test_policy.py::test_an_empty_policy_grants_nothing_and_an_open_one_everything",
        f"{ROWS}::test_o7_who_was_refused_what_is_in_the_log",
        f"{WATCH}::test_a_right_that_is_taken_away_ends_the_watch",
        (
            "server/test_webhooks.py::"
            "test_a_right_that_is_taken_away_ends_a_webhook_until_somebody_resumes_it_who_has_it"
        ),
        "server/test_tenants_apart.py::test_nobody_reaches_another_with_what_he_was_given",
    ),
    "O08 reflection": (f"{HEALTH}::test_services_are_listed_when_reflection_is_on_and_only_then",),
    "O09 limits of tenants": (
        f"{GUARDED}::test_a_tenant_far_over_its_share_is_kept_to_it_and_nobody_else_is_refused",
        f"{GUARDED}::test_calls_over_the_limit_of_one_tenant_at_once_are_refused_and_places_come_back",
        f"{GUARDED}::test_a_database_is_kept_to_the_keys_that_are_set_for_it_and_the_others_are_not",
        f"{GUARDED}::test_a_database_that_is_full_takes_deletions_only",
        f"{WATCH}::test_targets_are_bounded_for_a_stream_a_database_and_a_server",
        f"{TENANTS}::test_limits_are_set_and_usage_is_told",
        "behaviour/test_tenant_limits.py::test_new_limits_are_gone_by_within_seconds_everywhere",
    ),
    "O10 overload": (
        f"{ADMISSION}::test_interactive_calls_go_before_batches_which_have_half_of_the_places",
        f"{ADMISSION}::test_a_full_queue_sends_away_and_a_batch_makes_room_for_the_interactive",
        f"{ADMISSION}::test_a_call_that_cannot_be_done_in_time_is_not_begun",
        f"{ADMISSION}::test_fewer_calls_run_while_the_loop_lags_and_more_again_when_it_is_calm",
        f"{GUARDED}::test_a_server_with_too_much_to_do_sends_calls_away_early",
    ),
    "O11 metrics": (
        f"{ROWS}::test_o11_pages_are_counted_by_what_ended_them_a_full_reply_too",
        f"{ROWS}::test_o11_a_scraper_sees_the_layer_and_the_engine_beneath_the_calls",
        f"{GUARDED}::test_numbers_tell_of_calls_and_tenants",
        f"{METRICS}::test_a_scraper_sees_calls_by_method_and_code",
        f"{METRICS}::test_the_heaviest_get_labels_of_their_own_even_if_they_come_late",
    ),
    "O12 tracing": (
        f"{GUARDED}::test_a_call_is_a_span_under_its_callers",
        f"{GUARDED}::test_a_share_of_the_calls_has_spans_and_every_call_of_a_caller_who_traces",
        f"{OBSERVING}::test_spans_nest_and_the_engine_is_handed_the_span_of_each_attempt",
    ),
    "O13 logs": (
        f"{GUARDED}::test_the_log_says_who_did_what_to_which_database_and_no_values",
        "server/test_command.py::test_log_lines_are_json_with_a_time_a_level_and_values",
        f"{OBSERVING}::test_slow_queries_are_logged_with_their_plan_and_without_values",
    ),
    "O14 audit": (
        f"{GUARDED}::test_the_audit_log_has_a_line_for_every_administrative_action",
        "server/security/test_audit.py::test_lines_are_added_whole_and_stay",
        "server/test_admin.py::test_each_method_needs_the_right_and_is_audited",
    ),
    "O15 stacks on a signal, trace files of the client": (
        "server/test_command.py::test_a_signal_lets_a_server_say_where_everything_is",
        "server/test_command.py::test_foundationdbs_client_is_told_where_its_trace_files_go",
        "server/test_command.py::test_foundationdbs_client_writes_trace_files",
        f"{CONNECTIONS}::test_connections_calls_and_watches_are_listed_and_ended",
    ),
    "O16 admin": (
        "server/test_admin.py::test_stores_are_listed_looked_at_locked_and_unlocked",
        "server/test_admin.py::test_indexes_are_listed_with_their_states_and_builds",
        "server/test_admin.py::test_each_method_needs_the_right_and_is_audited",
        f"{OPERATIONS}::test_operations_are_started_done_and_told",
        f"{OPERATIONS}::test_operations_are_paused_throttled_resumed_and_cancelled",
        f"{SCHEMAS}::test_a_staged_version_is_withdrawn_before_anybody_has_used_it",
        f"{SCHEMAS}::test_development_is_promoted_to_production_as_it_is_or_as_it_was",
        f"{TENANTS}::test_limits_are_set_and_usage_is_told",
        f"{TENANTS}::test_an_export_is_imported_as_another_database",
        f"{TENANTS}::test_a_database_is_deleted_by_an_operation_and_begins_anew",
        f"{CONNECTIONS}::test_connections_calls_and_watches_are_listed_and_ended",
        f"{CONNECTIONS}::test_admin_has_a_port_of_its_own_where_that_is_said",
    ),
    "O17 migrations of the fleet": (
        "server/test_operations_everywhere.py::test_a_schema_starts_the_builds_that_it_needs_in_all_databases",
        "server/test_operations_everywhere.py::test_a_walk_through_all_databases_goes_on_at_its_page",
        "server/test_operations_everywhere.py::test_canaries_go_first_and_the_others_when_an_operator_lets_them",
    ),
    "O18 deploys": (
        f"{SCHEMAS}::test_a_version_is_active_when_every_server_that_lives_has_it",
        f"{SCHEMAS}::test_a_server_whose_release_cannot_use_a_version_holds_it_up_and_says_so",
        "server/test_upkeep.py::test_settings_of_a_newer_server_wait_for_the_servers_that_live",
        "server/test_admin.py::test_stores_are_listed_looked_at_locked_and_unlocked",
        f"{ROWS}::test_o18_a_store_keeps_its_format_until_the_operator_raises_it",
        f"{ROWS}::test_o18_a_store_of_a_format_without_changes_says_so_to_who_would_copy_it",
    ),
    "O19 several clusters": (f"{TENANTS}::test_a_database_is_moved_and_late_callers_are_told_where",),
    "O20 backup": (f"{TENANTS}::test_an_export_is_imported_as_another_database",),
    "O21 the database fails": (
        SILENT,
        f"{HEALTH}::test_a_server_whose_database_is_away_from_the_beginning_is_alive_and_not_ready",
        f"{ADMISSION}::test_a_call_that_cannot_be_done_in_time_is_not_begun",
        SIMULATED,
    ),
    "O22 packaging": (
        "house/test_docker.py::test_the_servers_image_runs_as_nobody_in_particular_with_a_health_check",
        "house/test_docker.py::test_the_servers_container_can_write_nothing_and_gain_nothing",
        "house/test_docker.py::test_all_files_take_the_same_release_of_foundationdb",
        "house/test_docker.py::test_the_servers_settings_in_the_compose_file_are_settings",
    ),
    "O23 dashboards, alerts, runbooks": (
        f"{ALERTS}::test_an_alert_speaks_of_numbers_that_there_are",
        f"{ALERTS}::test_every_alert_has_a_page_and_every_page_an_alert",
        f"{METRICS}::test_clients_are_counted_by_what_they_call_themselves_and_are_few_labels",
        f"{ALERTS}::test_every_panel_of_the_dashboard_shows_numbers_that_there_are",
    ),
    "O24 what runs": (
        f"{ROWS}::test_c16_o24_a_server_tells_its_limits_and_what_it_is",
        f"{METRICS}::test_a_scraper_sees_calls_by_method_and_code",
        f"{METRICS}::test_versions_of_what_it_runs_with_are_known",
    ),
    "O25 processes of Python": (
        f"{UNSAFE}::test_several_servers_share_a_port_when_told_to",
        "embedded/test_processes.py::test_everything_opened_before_a_fork_says_so_in_the_child",
        "unit/kv/test_fdb_loading.py::test_a_network_that_a_fork_left_behind_is_refused",
        f"{ADMISSION}::test_fewer_calls_run_while_the_loop_lags_and_more_again_when_it_is_calm",
        "house/test_native.py::test_a_wheel_carries_what_was_compiled_and_is_tagged_for_it",
    ),
}

TRAPS: dict[str, tuple[str, ...]] = {
    "T01 deletions": (
        f"{SYNC}::test_a_copy_is_made_page_by_page_and_followed_deletions_included",
        f"{SYNC}::test_deletions_whose_time_is_over_are_forgotten_and_readers_begin_anew",
    ),
    "T02 a zone deleted and made again": (
        f"{SYNC}::test_a_zone_that_is_deleted_and_made_again_resets_its_readers",
        f"{QUERY}::test_a_zone_goes_with_its_records_and_index_entries_and_comes_back_as_another",
    ),
    "T03 versions inside one transaction": (
        f"{SYNC}::test_changes_of_one_batch_come_in_the_order_of_its_operations",
        f"{TRANSACTIONS}::test_operations_and_bytes_are_bounded_and_what_was_done_can_still_be_committed",
    ),
    "T04 a token is not a time": (f"{SYNC}::test_a_token_goes_with_a_database_that_is_moved", MOVES),
    "T05 no hot key": (
        "server/test_writers.py::test_writers_of_different_records_do_not_conflict",
        f"{QUERY}::test_writers_of_different_records_of_a_zone_are_in_nobodys_way",
    ),
    "T06 continuations leak no keys and lead nowhere else": (
        CONTINUATIONS,
        f"{QUERY}::test_a_continuation_that_was_changed_never_gives_data",
        "server/test_tenants_apart.py::test_nobody_reaches_another_with_what_he_was_given",
    ),
    "T07 wanted fields and covering indexes": (
        f"{ROWS}::test_trap_7_wanted_fields_are_the_same_from_an_index_as_from_the_records",
    ),
    "T08 NOT and null": (
        "server/test_comparators.py::test_each_comparator_selects_what_brute_force_selects",
        "server/test_comparators.py::test_null_is_asked_for_by_its_own_comparators",
    ),
    "T09 pages without rows": (f"{QUERY}::test_a_page_without_records_is_not_the_end",),
    "T10 queries without a limit": (f"{ROWS}::test_trap_10_a_query_without_a_limit_has_one",),
    "T11 between reading and watching": (f"{WATCH}::test_what_changes_between_reading_and_watching_is_told",),
    "T12 subscriptions and writing": (f"{ROWS}::test_trap_12_writing_costs_the_same_however_many_subscribe",),
    "T13 a batch that is not atomic, again": (
        f"{MODIFY}::test_operations_with_keys_of_their_own_are_tried_again_one_by_one",
    ),
    "T14 changes without a tag": (f"{ROWS}::test_trap_14_changes_without_a_tag_are_counted_for_each_tenant",),
    "T15 watches of the engine": (
        f"{WATCH}::test_all_who_watch_a_zone_share_one_watch_of_the_engine_and_one_reading",
        f"{WATCH}::test_where_the_engine_has_no_watches_left_zones_are_looked_at",
    ),
    "T16 the time that a caller thinks": (
        f"{TRANSACTIONS}::test_a_transaction_warns_before_its_time_is_over_and_is_gone_then",
    ),
    "T17 labels for tenants": (
        f"{METRICS}::test_tenants_are_as_many_labels_as_were_allowed_however_many_come",
        "unit/observe/test_prometheus.py::test_the_first_tenants_have_numbers_of_their_own_if_asked_for",
    ),
    "T18 absent and forbidden": (
        f"{GUARDED}::test_what_is_forbidden_and_what_is_not_there_look_alike",
        f"{ROWS}::test_trap_18_who_has_no_right_is_refused_without_a_look_whether_it_is_there_or_not",
    ),
    "T19 calls without a deadline": (f"{QUERY}::test_behind_the_deadline_nothing_more_is_read",),
    "T20 one slow handler": (
        f"{ADMISSION}::test_fewer_calls_run_while_the_loop_lags_and_more_again_when_it_is_calm",
        f"{BAD_INPUT}::test_what_would_take_more_than_it_may_is_refused_before_it_takes_anything",
    ),
    "T21 stale read versions": (f"{QUERY}::test_what_one_server_wrote_another_reads_even_from_a_stale_state",),
    "T22 schemas from clients": (
        f"{BAD_INPUT}::test_a_description_that_was_damaged_is_taken_or_refused_in_words",
        f"{BAD_INPUT}::test_a_description_that_cannot_be_served_is_refused_in_words",
        f"{SCHEMAS}::test_hostile_descriptions_are_refused_in_words_and_the_server_goes_on",
    ),
}

CHECKS: dict[str, tuple[str, ...]] = {
    "S01 two writers, 10,000 commits": (
        f"{QUERY}::test_writers_of_different_records_of_a_zone_are_in_nobodys_way",
        "server/test_writers.py::test_writers_of_different_records_do_not_conflict",
    ),
    "S02 a failing batch over two zones": (
        f"{MODIFY}::test_an_atomic_batch_over_two_zones_that_fails_leaves_no_trace",
        f"{ROWS}::test_s2_a_batch_that_fails_is_in_no_list_of_changes",
    ),
    "S03 a replica equals the store": (
        REPLICAS,
        "server/test_replica_soak.py::test_replicas_that_are_edited_offline_hold_what_the_server_holds",
        SIMULATED,
    ),
    "S04 with zones made again, and moves": (REPLICAS, MOVES),
    "S05 killed behind the commit": (CRASH, UNKNOWN, SIMULATED),
    "S06 21 comparators": (
        "server/test_comparators.py::test_there_are_21",
        "server/test_comparators.py::test_each_comparator_selects_what_brute_force_selects",
    ),
    "S07 rolling restart under load": (
        ROLLING,
        f"{WATCH}::test_a_server_that_stops_ends_streams_with_tokens_that_another_one_takes",
    ),
    "S08 the cluster stops": (
        SILENT,
        "server/test_outage.py::test_health_follows_a_cluster_that_is_killed_and_comes_back",
    ),
    "S09 a tenant far over its limit": (
        f"{GUARDED}::test_a_tenant_far_over_its_share_is_kept_to_it_and_nobody_else_is_refused",
    ),
    "S10 a short deadline on a long scan": (f"{QUERY}::test_behind_the_deadline_nothing_more_is_read",),
    "S11 forged, foreign, expired, truncated tokens": (
        CONTINUATIONS,
        f"{QUERY}::test_a_continuation_that_was_changed_never_gives_data",
        f"{QUERY}::test_a_continuation_expires_with_a_word_of_its_own",
        f"{SYNC}::test_tokens_that_are_foreign_forged_or_cut_off_are_refused",
        "fuzz/test_targets.py::test_changed_inputs_are_taken_or_refused_in_words",
    ),
    "S12 a certificate is replaced": (
        f"{GUARDED}::test_a_certificate_that_is_replaced_on_disk_is_shown_to_new_connections",
    ),
    "S13 keys read by a get": (f"{QUERY}::test_a_reply_says_what_the_call_cost_and_had_left",),
    "S16 two releases while a schema changes": (
        f"{SCHEMAS}::test_two_servers_side_by_side_take_schema_after_schema_under_load_and_fail_nobody",
        "server/test_schema_changes.py::test_servers_that_do_not_know_of_a_new_schema_yet_learn_of_it_and_fail_nobody",
    ),
}

SHORT_AND_LONG = {
    "query": ("S01", "S11"),
    "comparators": ("S06",),
    "rolling": ("S07",),
    "sync_replicas": ("S03", "S04"),
    "replica_soak": ("S03",),
}
"""Files whose checks take longer with RECORDLAYER_LONG_TESTS=1. What S02, S10 and S12 ask is the same however often;
S05 is done at random by a simulation of the service, S09 over time by the bench `service_tenants`."""

OPEN = {
    "C24 gRPC-Web or JSON": "gRPC alone; a proxy in front makes either of it",
    "O05 a setting for the least version of TLS": "it is 1.2, as gRPC has it, whose Python has no setting for more",
    "O15 channelz": "a package of its own; Admin's methods about connections and calls show what runs",
    "O17 canaries of a schema itself": (
        "a schema is active everywhere at once, when every server has it: what follows it database by database, its "
        "builds, has canaries and a stop rule"
    ),
    "O20 consistent with FoundationDB's backup": (
        "a backup of the cluster has everything that a server keeps, but no test restores one"
    ),
    "O26 objectives that a test judges": (
        "`python -m bench service` has p50 and p99 by method and number of callers, `service_keys` the keys that calls "
        "read, with targets and what was found in bench/RESULTS.md; times are judged by nobody in a test"
    ),
    "S08 thirty seconds, and memory": (
        "the check that kills a cluster runs where RECORDLAYER_TEST_FDBSERVER names the program; how much "
        "memory a server takes meanwhile is measured nowhere: calls are not begun, so nothing gathers"
    ),
    "S14 bytes of a text index": "`python -m bench text`",
    "S15 a million small stores": "`python -m bench stores --large`; without that word 100,000",
    "T20 parsing of large messages": (
        "on the event loop, as everything is: 4 MB take 0.4 ms, or 8 ms in 80,000 small fields, and the parser has the "
        "interpreter's lock, so that in a thread beside the loop it would stop the loop as well"
    ),
}

ALL = WHAT_ERRORS_SAY | CLIENTS | OPERATORS | TRAPS | CHECKS
NUMBERS = {"E": 27, "C": 28, "O": 26, "T": 22, "S": 16}


@cache
def names_in(name: str) -> frozenset[str]:
    parsed = ast.parse((TESTS / name).read_text(encoding="utf-8"))
    return frozenset(node.name for node in parsed.body if isinstance(node, ast.FunctionDef))


def test_every_row_has_tests_that_are_there_or_a_reason_why_it_is_open() -> None:
    rows = {row[:3] for row in (*ALL, *OPEN)}
    assert rows == {f"{kind}{number:02}" for kind, last in NUMBERS.items() for number in range(1, last + 1)}
    assert len(ALL) == len({row[:3] for row in ALL}), "a row is there once"
    for row, shown_by in ALL.items():
        assert shown_by, row
        for one in shown_by:
            file, _, name = one.partition("::")
            if file.startswith("house/") and not (TESTS / "house").exists():
                continue  # they judge the source tree, and an installed package is tested without it
            assert name in names_in(file), (row, one)
    assert all(OPEN.values())


def test_tests_that_show_a_row_by_its_number_are_named_there() -> None:
    """Nobody takes a row's test away, or writes one, without this page."""
    named = {one for shown_by in ALL.values() for one in shown_by}
    for file in (ROWS, ERRORS):
        assert {f"{file}::{name}" for name in names_in(file) if name.startswith("test_")} <= named


def test_checks_have_a_long_form() -> None:
    for file, checks in SHORT_AND_LONG.items():
        text = (TESTS / f"server/test_{file}.py").read_text(encoding="utf-8")
        assert 'LONG = os.environ.get("RECORDLAYER_LONG_TESTS") == "1"' in text
        assert " if LONG else " in text
        for check in checks:
            (row,) = [row for row in CHECKS if row.startswith(check)]
            assert any(one.startswith(f"server/test_{file}.py::") for one in CHECKS[row])
