"""Items of the audit. Each is guarded by tests of the code (``guards``), by a check of the run (``check``, a function
of :mod:`suffuse.audit.checks` or :mod:`suffuse.audit.training_rows`), or by both."""

from __future__ import annotations

from dataclasses import dataclass

KEPT, WARNING, BROKEN, TESTED = "kept", "warning", "broken", "by tests"
MISSING, UNCHECKED = "not there", "unchecked"
Verdict = tuple[str, str]  # state, fact


@dataclass(frozen=True)
class Item:
    """One promise."""

    number: int
    area: str
    says: str  # the promise, a sentence
    guards: tuple[str, ...] = ()  # file::test
    check: str = ""


@dataclass(frozen=True)
class Finding:
    """The state of an item in a run, and the fact that shows it.

    States: kept, warning, broken, by tests (a run holds nothing to measure), not there (its stage wasn't run), or
    unchecked (it would run code that the recipe names).
    """

    item: Item
    state: str
    fact: str


ITEMS = (
    Item(1, "teacher", "It is frozen: the same weights and buffers as when it was read.",
         ("tests/knowledge/test_fingerprint.py::test_what_only_the_teacher_itself_tells",), "frozen"),
    Item(2, "teacher", "No gradient reaches it.",
         ("tests/contracts/test_losses.py::test_a_loss_keeps_to_its_contract",)),
    Item(3, "teacher", "It shares no memory with the student: distilling needs its store alone.",
         ("tests/e2e/test_run_stages.py::test_distill_needs_no_teacher",)),
    Item(4, "teacher", "Its own score was measured before it was used, and its stored answers still have it.",
         (), "scored"),
    Item(5, "teacher", "Its classes are the run's classes, by name.",
         ("tests/knowledge/test_fingerprint.py::test_other_classes",), "classes"),
    Item(6, "teacher", "It isn't near 100 % on the rows that it teaches: it would only repeat their labels.",
         (), "overfit"),
    Item(7, "store", "Rows are found by id and content, never by position.",
         ("tests/knowledge/test_store.py::test_the_data_may_be_sorted_anew",
          "tests/knowledge/test_store.py::test_a_row_whose_content_changed_is_not_found"), "keys"),
    Item(8, "store", "It says what it was made with, and that is what the run has now.",
         ("tests/knowledge/test_fingerprint.py::test_another_recipe",), "fingerprint"),
    Item(9, "store", "Student and teacher see the same view, or it says that there is none.",
         ("tests/knowledge/test_training_reader.py::test_the_student_sees_the_view_that_the_teacher_answered",),
         "views"),
    Item(10, "store", "What its encoding costs is measured.",
         ("tests/knowledge/test_store.py::test_the_cost_of_halving_is_measured",), "encoding"),
    Item(11, "store", "Every byte is what was written.",
         ("tests/knowledge/test_store.py::test_a_damaged_store_is_refused_at_opening",), "bytes"),
    Item(12, "store", "No test row is in it, and no group stands in two splits.",
         ("tests/e2e/test_run_stages.py::test_no_test_row_is_in_the_knowledge",
          "tests/prepare/test_splits.py::test_no_group_stands_in_two_splits",
          "tests/e2e/test_evidence.py::test_a_planted_leak_is_found_and_told"), "splits"),
    Item(13, "losses", "One convention: a sum over classes, a weighted mean over rows.",
         ("tests/contracts/test_losses.py::test_a_loss_keeps_to_its_contract",)),
    Item(14, "losses", "T^2 keeps the gradient's size; numbers are never divided by T.",
         ("tests/contracts/test_losses.py::test_t_squared_keeps_the_gradient_s_size_at_high_temperatures",)),
    Item(15, "losses", "Finite values and gradients at any logits, in float32 inside bf16.",
         ("tests/contracts/test_losses.py::test_a_loss_keeps_to_its_contract",)),
    Item(16, "losses", "What is degenerate for these targets is refused.",
         ("tests/contracts/test_losses.py::test_a_loss_for_other_targets_is_told_by_its_key",), "matrix"),
    Item(17, "losses", "Each term's share of the gradient is on record, and none is dead.",
         ("tests/engine/test_gradient_norms.py::test_a_loss_that_teaches_nothing_is_an_alert",), "shares"),
    Item(18, "losses", "Projectors are trained and checkpointed, and no part of the student.",
         ("tests/contracts/test_losses.py::test_a_projector_is_trained_and_kept_in_the_checkpoint",
          "tests/contracts/test_losses.py::test_a_projector_is_no_part_of_the_saved_model"), "students"),
    Item(19, "losses", "What is absent or padding enters no loss, and changes no bit.",
         ("tests/contracts/test_losses.py::test_features_of_absent_rows_don_t_enter_a_hint",
          "tests/contracts/test_fusions.py::test_a_fusion_keeps_to_its_contract"), "absent"),
    Item(20, "loop", "After validation the student is back in training mode.",
         ("tests/engine/test_inference.py::test_a_look_leaves_the_model_as_it_was",)),
    Item(21, "loop", "Nothing fails in silence: bad rows are counted, and no training is missing.",
         ("tests/engine/test_loop.py::test_a_loss_that_is_no_number_stops_it",), "complete"),
    Item(22, "loop", "Processes share out the store's parts; those that share a training see the whole batch.",
         ("tests/knowledge/test_leases.py::test_of_many_threads_each_piece_goes_to_one",)),
    Item(23, "loop", "Killed and called again, its result is bit-identical.",
         ("tests/engine/test_loop.py::test_killed_and_called_again_it_ends_with_the_same_bits",
          "tests/e2e/test_kill.py::test_killed_and_called_again_ends_with_the_same_bits")),
    Item(24, "loop", "What is left over of accumulated batches is a step too.",
         ("tests/engine/test_ema.py::test_every_step_of_several_batches_has_shares_that_make_one",)),
    Item(25, "loop", "Losses' weights and temperatures follow the share of the training that is done.",
         ("tests/engine/test_mixup.py::test_weights_and_temperatures_reach_what_the_schedule_says",)),
    Item(26, "evaluation", "Everything is chosen on validation; the test rows were evaluated once.", (), "looks"),
    Item(27, "evaluation",
         "Each student is compared with the same network trained on labels only: same budget, three seeds or more.",
         ("tests/engine/test_loop.py::test_a_student_has_its_budget_of_steps_whatever_its_rows",), "baseline"),
    Item(28, "evaluation", "Scores have intervals; agreement, calibration, size and latency stand beside them.",
         ("tests/evaluation/test_metrics.py::test_the_interval_holds_the_truth_about_as_often_as_it_claims",
          "tests/evaluation/test_simulations.py::test_of_the_same_recipe_with_other_seeds_there_is_no_evidence",
          "tests/evaluation/test_temperature_calibration.py::test_test_rows_decide_nothing_about_the_temperature"),
         "scores"),
    Item(29, "evaluation", "What a missing modality costs is measured.",
         ("tests/evaluation/test_ablations.py::test_a_blank_modality_is_absent_everywhere_and_nothing_else_moves",
          "tests/evaluation/test_missing_modalities.py::test_at_rate_zero_and_on_the_whole_subset_it_is_the_full_score_bit_for_bit"),
         "missing"),
    Item(30, "evaluation", "The export answers as the student does, on every subset of its modalities.",
         ("tests/exporters/test_onnx_export.py::test_it_equals_torch",), "parity"),
    Item(31, "rows", "The epoch of every training was chosen on validation rows alone.",
         ("tests/engine/test_wiring.py::test_a_student_is_validated_on_validation_rows_alone",
          "tests/engine/test_wiring.py::test_a_teacher_is_validated_on_validation_rows_alone"), "chosen"),
    Item(32, "rows", "No training sees more labels than its share, in training and in validation.",
         ("tests/engine/test_wiring.py::test_a_share_of_the_labels_is_all_that_training_and_validation_see",),
         "labels"),
    Item(33, "rows", "Student and baseline see the same labels and have the same budget of steps.",
         ("tests/engine/test_wiring.py::test_student_and_baseline_have_the_same_budget_of_steps",), "pairs"),
    Item(34, "rows", "Inputs and targets are standardised by training rows alone.",
         ("tests/engine/test_wiring.py::test_frozen_vectors_are_standardised_by_training_rows_alone",
          "tests/engine/test_wiring.py::test_statistics_come_from_training_rows_alone"), "standardised"),
)  # fmt: skip
