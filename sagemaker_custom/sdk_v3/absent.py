"""A name that the SDK v2's classes have and nothing here → an error that says what does the same."""

from __future__ import annotations

from collections.abc import Mapping

from sagemaker_custom.errors import UnsupportedBySdkError

_COMPONENT = "sagemaker.core.resources.InferenceComponent"
_DEBUGGER = "the SDK v2: the SDK v3 has no SageMaker Debugger for its ModelTrainer"
_NEO = "a model that was compiled beforehand: AWS has ended Neo's place in the SDK"
_PROFILER = "the SDK v2: the SDK v3 has no profiler for its ModelTrainer"
_REMOTE_DEBUG = "enable_remote_debug= of the constructor, or latest_training_job.job.update() while it runs"
OF_ESTIMATORS = {
    "compile_model": _NEO,
    "delete_endpoint": "delete_endpoint() of the predictor",
    "disable_profiling": _PROFILER,
    "disable_remote_debug": _REMOTE_DEBUG,
    "enable_default_profiling": _PROFILER,
    "enable_remote_debug": _REMOTE_DEBUG,
    "get_app_url": "sagemaker.core.interactive_apps",
    "get_remote_debug_config": _REMOTE_DEBUG,
    "get_session_chaining_config": "model_trainer().with_session_chaining_config()",
    "get_vpc_config": "subnets= and security_group_ids= of the constructor",
    "latest_job_debugger_artifacts_path": _DEBUGGER,
    "latest_job_profiler_artifacts_path": _PROFILER,
    "latest_job_tensorboard_artifacts_path": "model_trainer().with_tensorboard_output_config()",
    "prepare_workflow_for_training": "model_trainer()",
    "rule_job_summary": _DEBUGGER,
    "update_profiler": _PROFILER,
}
OF_MODELS = {
    "add_tags": "tags= of create() or deploy()",
    "compile": _NEO,
    "is_repack": "nothing: code is always packed into the model",
    "package_for_edge": "the SDK v2: AWS has ended SageMaker Edge Manager",
    "prepare_container_def": "create(), and ModelBuilder(model=[…]) of sagemaker.core.resources.Model",
    "remove_tag_with_key": "tags= of create() or deploy()",
    "right_size": "model_builder().generate_deployment_recommendations()",
    "tune": "model_builder().optimize()",
}
OF_PREDICTORS = {
    "delete_predictor": _COMPONENT,
    "endpoint": "endpoint_name",
    "endpoint_context": "sagemaker.core.lineage.context.EndpointContext.load()",
    "list_monitors": "sagemaker.core.resources.MonitoringSchedule.get_all(endpoint_name=…)",
    "list_related_models": _COMPONENT,
    "predict_stream": "sagemaker_session.sagemaker_runtime_client.invoke_endpoint_with_response_stream()",
    "update_predictor": _COMPONENT,
}
OF_PACKAGES = dict.fromkeys(
    ("add_inference_specification", "update_customer_metadata", "update_model_card", "update_source_uri"),
    "model_package, and its update()",
) | {"deploy": "deploy() of the model that was registered"}


def absent(owner: object, name: str, instead: Mapping[str, str]) -> AttributeError:
    """Return what to raise for a name that ``owner`` has not.

    Args:
        owner: Whose attribute is asked for.
        name: Of the attribute.
        instead: Names of the SDK v2's class → what does the same.
    """
    whose = type(owner).__name__
    if name in instead:
        return UnsupportedBySdkError(f"{whose}.{name} is not there with the SDK v3", hint=f"use {instead[name]}")
    return AttributeError(f"{whose!r} object has no attribute {name!r}", name=name, obj=owner)
