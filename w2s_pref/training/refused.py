"""Arguments of TRL and transformers that a recipe does not set, each with the reason that its author reads."""

from __future__ import annotations

from typing import Any

#: Arguments of an upload. A token among them would stand in every manifest and result.
HUB = (
    "push_to_hub", "hub_model_id", "hub_token", "hub_strategy", "hub_private_repo", "hub_always_push", "hub_revision",
)  # fmt: skip
#: Arguments of an evaluation within the training, which there is none of.
EVALUATION = (
    "do_eval", "eval_strategy", "eval_on_start", "eval_steps", "eval_delay", "per_device_eval_batch_size",
    "eval_accumulation_steps", "bf16_full_eval", "fp16_full_eval", "prediction_loss_only", "batch_eval_metrics",
    "metric_for_best_model", "greater_is_better", "do_predict", "eval_do_concat_batches", "eval_use_gather_object",
    "include_for_metrics", "label_names",
)  # fmt: skip
#: Arguments by which a training that continues would differ from one that was never stopped.
RESUMING = (
    "resume_from_checkpoint", "save_only_model", "ignore_data_skip", "restore_callback_states_from_checkpoint",
)  # fmt: skip
#: Arguments that the toolkit decides; a recipe that sets them is told what to use instead.
OURS: dict[str, str] = {
    "output_dir": "the store decides where checkpoints live",
    "seed": "use the recipe's seeds",
    "data_seed": "use the recipe's seeds",
    "gradient_accumulation_steps": "set batch_size and, for memory, micro_batch_tokens",
    "max_length": "use data.max_length",
    "remove_unused_columns": "it must stay as it is",
    **dict.fromkeys(RESUMING, "runs continue by themselves, and like one that was never stopped"),
    "save_strategy": "set save_steps",
    "load_best_model_at_end": "the last step is used",
    **dict.fromkeys(EVALUATION, "scores of the test set are a stage of their own"),
    "auto_find_batch_size": "it would change the batch; for memory, set micro_batch_tokens",
    "gradient_checkpointing": "it is an old name; set activation_checkpointing",
    "gradient_checkpointing_kwargs": "it is an old name; set activation_checkpointing_kwargs",
    "include_num_input_tokens_seen": "trained models say themselves how many tokens they saw",
    **dict.fromkeys(HUB, "nothing is uploaded while it trains; `w2s export --push` uploads a student"),
    **dict.fromkeys(("deepspeed", "fsdp", "fsdp_config"), "the launch decides: accelerate_configs/"),
    "trust_remote_code": "set it for the model",
    "model_init_kwargs": "use the keys of the model (dtype, from_config, …)",
    "pad_token": "set it for the model",
    "eos_token": "texts end as the model's tokenizer ends them; set it there",
    "chat_template_path": "chats are written by the model's tokenizer; set it there",
    "label_smoothing_factor": "soft labels say how sure each label is",
    **dict.fromkeys(("dataloader_drop_last", "pad_to_multiple_of"), "every pair is read, and padding changes nothing"),
    "full_determinism": "a run repeats bit for bit without it, and it would hold for all that comes after",
    "activation_offloading": "for memory, set activation_checkpointing",
    "neftune_noise_alpha": "its noise depends on how a batch is split over memory",
    "logging_nan_inf_filter": "it would hide that a training diverged",
    "center_rewards_coefficient": "it adds a term to the loss that soft labels do not define here",
}

#: Beginnings of an adapter that rewrite the weights below it.
CHANGES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
#: Optimizers that update weights inside each backward pass, before an effective batch is whole.
NEVER_WHOLE = ("lomo", "layerwise")

#: Keys of ``accelerator_config`` that say how processes share a batch.
SHARES = ("split_batches", "dispatch_batches", "even_batches")

#: DPOConfig's arguments that shape a loss which is not used here.
LOSS_OF_DPO = (
    "loss_type",
    "loss_weights",
    "discopop_tau",
    "ld_alpha",
    "use_weighting",
    "padding_free",
    "f_divergence_type",
    "f_alpha_divergence_coef",
    "router_aux_loss_coef",
)

#: Arguments of a reference that follows the policy.
FIXED_REFERENCE = dict.fromkeys(
    ("sync_ref_model", "ref_model_mixup_alpha", "ref_model_sync_steps"), "the reference is fixed"
)

#: The same for the trainers of policies only.
OURS_OF: dict[str, dict[str, str]] = {
    "dpo": {
        "beta": "set it for the method",
        "label_smoothing": "soft labels say how sure each label is",
        "truncation_mode": "use data.overlong",
        **dict.fromkeys(("precompute_ref_log_probs", "precompute_ref_batch_size"), "reference scores are a stage"),
        **FIXED_REFERENCE,
        **dict.fromkeys(LOSS_OF_DPO, "the method's margin is the loss"),
    },
}
#: GRPO's arguments whose terms are means over a part of a batch, and the values that leave these out.
OF_PARTS: dict[str, Any] = {"top_entropy_quantile": 1.0, "entropy_coef": 0.0, "use_adaptive_entropy": False}

#: Keys of ``generation_kwargs`` that TRL would put over an argument, behind whose back nothing else would know it.
GENERATION: dict[str, str] = {
    **dict.fromkeys(("max_new_tokens", "max_length"), "set max_completion_length, for which prompts leave room"),
    **{name: f"set {name} itself" for name in ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")},
    "cache_implementation": "set cache_implementation itself",
    "num_return_sequences": "set num_generations",
    "do_sample": "answers are sampled",
    "num_beams": "answers are sampled",
    **dict.fromkeys(("eos_token_id", "bos_token_id", "pad_token_id"), "answers end as the model's tokenizer ends them"),
}

OURS_OF["rloo"] = OURS_OF["grpo"] = {
    "beta": "set it for the method",
    "reward_weights": "use the method's conflict_weight",
    "steps_per_generation": "set generation_batch_size, a multiple of batch_size",
    "chat_template_kwargs": "chats are written as everywhere in a study, by the tokenizer's template without arguments",
    "max_tool_calling_iterations": "answers call no tools",
    "num_generations_eval": "answers are judged in a stage of their own",
    "router_aux_loss_coef": "it would be taken of each part of a batch, which depends on memory",
    **FIXED_REFERENCE,
}
