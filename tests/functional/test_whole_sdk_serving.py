"""Endpoints of every kind with extended images: the request that AWS would get."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
import sagemaker
from functional_parts import Cloud
from sagemaker.async_inference import AsyncInferenceConfig
from sagemaker.async_inference.async_inference_response import AsyncInferenceResponse
from sagemaker.model_monitor import DataCaptureConfig
from sagemaker.multidatamodel import MultiDataModel
from sagemaker.pipeline import PipelineModel
from sagemaker.predictor_async import AsyncPredictor
from sagemaker.serverless import ServerlessInferenceConfig
from sdk_bench import CPU, ESTIMATORS, MODELS, ROLE, TYPES, Bench, images_in

import sagemaker_custom
from sagemaker_custom import CustomSparkMLModel, CustomSparkMLPredictor
from sagemaker_custom.errors import ImageMissingError, ImageNotInCatalogError

OWN = "123456789012.dkr.ecr.us-east-1.amazonaws.com/own:1"
PREDICTORS = {name: cls.__name__.replace("Model", "Predictor") for name, (cls, _) in MODELS.items()}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    """One for all: each test has names of its own."""
    with Cloud(tmp_path_factory.mktemp("cloud")) as running:
        yield running


@pytest.fixture(autouse=True)
def no_telemetry(monkeypatch):
    monkeypatch.setenv("SAGEMAKER_CUSTOM_SDK_TELEMETRY", "off")


@pytest.fixture
def bench(cloud, code):
    return Bench(cloud=cloud, code=code, session=cloud.new_session())


@pytest.fixture
def rare(bench):
    """Extras that no other test pushes an image with."""
    return [f"pip:lz4=={bench.name.removeprefix('job-')}"]


class TestModels:
    @pytest.mark.parametrize("name", MODELS)
    def test_network_keys_and_private_registry_reach_create_model(self, bench, name):
        vpc = {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
        model = bench.model(
            name,
            vpc_config=vpc,
            enable_network_isolation=True,
            model_kms_key="key-1",
            image_config={"RepositoryAccessMode": "Vpc"},
            env={"TEAM": "vision"},
            name=bench.name,
        )
        image = bench.push(model)
        model.create(instance_type=CPU, tags=[{"Key": "team", "Value": "vision"}])
        sent = bench.request("CreateModel")
        container = sent["PrimaryContainer"]
        assert (sent["ModelName"], sent["VpcConfig"], sent["EnableNetworkIsolation"]) == (bench.name, vpc, True)
        assert sent["Tags"] == [{"Key": "team", "Value": "vision"}]
        assert (container["Image"], container["ImageConfig"]) == (image, {"RepositoryAccessMode": "Vpc"})
        assert container["Environment"]["TEAM"] == "vision"
        if container["ModelDataUrl"] != model.model_data:
            key = container["ModelDataUrl"].removeprefix(f"s3://{bench.cloud.bucket}/")
            assert bench.cloud.head(bench.cloud.bucket, key)["SSEKMSKeyId"].endswith("key-1")

    @pytest.mark.parametrize("name", MODELS)
    def test_private_registry_is_nothing_for_the_model_registry(self, bench, name):
        model = bench.model(name, image_config={"RepositoryAccessMode": "Vpc"})
        image = bench.push(model)
        model.register(*TYPES, model_package_group_name="digits")
        [container] = bench.request("CreateModelPackage")["InferenceSpecification"]["Containers"]
        assert container["Image"] == image
        assert "ImageConfig" not in container
        assert model.image_config == {"RepositoryAccessMode": "Vpc"}

    @pytest.mark.parametrize("name", MODELS)
    def test_missing_image_is_told_and_no_model_created(self, bench, rare, name):
        model = bench.model(name, extras=rare)
        for call in (
            lambda: model.create(instance_type=CPU),
            lambda: model.deploy(1, CPU, wait=False),
            lambda: model.register(*TYPES, model_package_group_name="digits"),
            lambda: model.transformer(1, CPU),
        ):
            with pytest.raises(ImageMissingError, match="--image-scope inference"):
                call()
        assert not [kind for kind, _ in bench.sent if kind.startswith("Create")]

    @pytest.mark.parametrize("name", ESTIMATORS)
    def test_transformer_of_an_estimator_wants_the_serving_image(self, bench, rare, name):
        estimator = bench.trained(name, extras=rare)
        arguments = {} if name == "tensorflow" else {"entry_point": "inference.py"}
        with pytest.raises(ImageMissingError, match="--image-scope inference"):
            estimator.transformer(1, CPU, **arguments)
        image = bench.push(estimator.create_model(**arguments))
        transformer = estimator.transformer(1, CPU, model_name=bench.name, **arguments)
        transformer.transform("s3://data/batch", wait=False)
        assert list(images_in(bench.request("CreateModel"))) == [image]
        assert bench.request("CreateTransformJob")["ModelName"] == bench.name

    @pytest.mark.parametrize("name", MODELS)
    def test_the_predictor_is_of_this_package_and_updates_its_endpoint(self, bench, name):
        first, second = bench.model(name, name=f"{bench.name}-a"), bench.model(name, name=f"{bench.name}-b")
        bench.push(first)
        predictor = first.deploy(1, CPU, wait=False, endpoint_name=bench.name)
        assert type(predictor) is getattr(sagemaker_custom, PREDICTORS[name])
        bench.push(second)
        second.create(instance_type=CPU)
        # Moto says of the first configuration that it captures, but not where to; and it cannot update an endpoint.
        capture = DataCaptureConfig(True, 50, "s3://data/captured", sagemaker_session=bench.session)._to_request_dict()
        answered = SimpleNamespace(status_code=200), {"EndpointArn": "arn"}
        events = bench.session.sagemaker_client.meta.events
        events.register("before-call.sagemaker.UpdateEndpoint", lambda **_: answered)
        predictor.update_endpoint(2, CPU, model_name=second.name, data_capture_config_dict=capture, wait=False)
        assert bench.request("UpdateEndpoint")["EndpointName"] == bench.name
        variants = bench.requests("CreateEndpointConfig")[-1]["ProductionVariants"]
        assert [(item["ModelName"], item["InitialInstanceCount"]) for item in variants] == [(second.name, 2)]


class TestEndpoints:
    @pytest.mark.parametrize("name", MODELS)
    def test_serverless(self, bench, name):
        model = bench.model(name)
        image = bench.push(model)
        predictor = model.deploy(serverless_inference_config=ServerlessInferenceConfig(4096, 3), wait=False)
        assert type(predictor) is getattr(sagemaker_custom, PREDICTORS[name])
        assert list(images_in(bench.request("CreateModel"))) == [image]
        [variant] = bench.request("CreateEndpointConfig")["ProductionVariants"]
        assert variant["ServerlessConfig"] == {"MemorySizeInMB": 4096, "MaxConcurrency": 3}

    @pytest.mark.parametrize("name", MODELS)
    def test_asynchronous(self, bench, name):
        model = bench.model(name)
        image = bench.push(model)
        config = AsyncInferenceConfig("s3://data/out", max_concurrent_invocations_per_instance=2)
        predictor = model.deploy(1, CPU, async_inference_config=config, wait=False)
        assert isinstance(predictor, AsyncPredictor)
        assert type(predictor.predictor) is getattr(sagemaker_custom, PREDICTORS[name])
        assert list(images_in(bench.request("CreateModel"))) == [image]
        sent = bench.request("CreateEndpointConfig")["AsyncInferenceConfig"]
        assert sent["OutputConfig"]["S3OutputPath"] == "s3://data/out"
        runtime = bench.session.sagemaker_runtime_client
        runtime.meta.events.register(
            "before-call.sagemaker-runtime.InvokeEndpointAsync", lambda **_: (Answer(), {"OutputLocation": "s3://o/1"})
        )
        assert isinstance(predictor.predict_async(input_path="s3://data/in.csv"), AsyncInferenceResponse)

    def test_autoscaling(self, cloud, bench):
        model = bench.model("pytorch")
        bench.push(model)
        predictor = model.deploy(1, CPU, wait=False, endpoint_name=bench.name)
        scaling = cloud.boto_session.client("application-autoscaling")
        target = {
            "ServiceNamespace": "sagemaker",
            "ResourceId": f"endpoint/{predictor.endpoint_name}/variant/AllTraffic",
            "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        }
        scaling.register_scalable_target(**target, MinCapacity=1, MaxCapacity=4)
        scaling.put_scaling_policy(
            **target,
            PolicyName=bench.name,
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration={
                "TargetValue": 70.0,
                "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
            },
        )
        found = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
        assert [(item["ResourceId"], item["MaxCapacity"]) for item in found] == [(target["ResourceId"], 4)]


class Answer:
    """What an HTTP library would have returned."""

    status_code = 200


class TestManyModels:
    @pytest.mark.parametrize("name", MODELS)
    def test_multi_model_endpoint(self, bench, name):
        model = bench.model(name)
        prefix = f"s3://{bench.cloud.bucket}/{bench.name}/models"
        many = MultiDataModel(bench.name, prefix, model, sagemaker_session=bench.session)
        image = bench.push(model)
        many.add_model(model.model_data, "one.tar.gz")
        predictor = many.deploy(1, CPU, wait=False)
        container = bench.request("CreateModel")["PrimaryContainer"]
        assert (container["Image"], container["Mode"]) == (image, "MultiModel")
        assert container["ModelDataUrl"] == prefix
        assert list(many.list_models()) == ["/one.tar.gz"]
        assert type(predictor) is getattr(sagemaker_custom, PREDICTORS[name])

    def test_multi_model_endpoint_without_its_image(self, bench, rare):
        model = bench.model("pytorch", extras=rare)
        many = MultiDataModel(
            bench.name, f"s3://{bench.cloud.bucket}/{bench.name}", model, sagemaker_session=bench.session
        )
        with pytest.raises(ImageMissingError):
            many.deploy(1, CPU, wait=False)
        assert bench.requests("CreateModel") == []

    @pytest.mark.parametrize(("first", "second"), [("sklearn", "xgboost"), ("pytorch", "tensorflow")])
    def test_pipeline_of_models(self, bench, first, second):
        models = [bench.model(first), bench.model(second, image_config={"RepositoryAccessMode": "Vpc"})]
        images = [bench.push(model) for model in models]
        chain = PipelineModel(models, ROLE, name=bench.name, sagemaker_session=bench.session)
        chain.deploy(1, CPU, wait=False)
        containers = bench.request("CreateModel")["Containers"]
        assert [item["Image"] for item in containers] == images
        assert containers[1]["ImageConfig"] == {"RepositoryAccessMode": "Vpc"}
        models[1].image_config = None
        chain.register(*TYPES, model_package_group_name="digits")
        packaged = bench.request("CreateModelPackage")["InferenceSpecification"]["Containers"]
        assert [item["Image"] for item in packaged] == images

    def test_pipeline_of_models_without_its_images(self, bench, rare):
        models = [bench.model("sklearn"), bench.model("xgboost", extras=rare)]
        bench.push(models[0])
        with pytest.raises(ImageMissingError, match="sagemaker-custom build xgboost"):
            PipelineModel(models, ROLE, sagemaker_session=bench.session).deploy(1, CPU, wait=False)
        assert bench.requests("CreateModel") == []


class TestOwnImageWithoutVersion:
    @pytest.mark.parametrize("name", ["pytorch", "mxnet", "xgboost"])
    def test_trains_and_serves(self, bench, caplog, name):
        nothing = {"image_uri": OWN, "extras": (), "framework_version": None, "base_job_name": None}
        if name != "xgboost":
            nothing["py_version"] = None
        estimator = bench.trained(name, **nothing)
        assert bench.request("CreateTrainingJob")["AlgorithmSpecification"]["TrainingImage"] == OWN
        caplog.clear()
        predictor = estimator.deploy(1, CPU, wait=False, entry_point="inference.py", endpoint_name=bench.name)
        assert bench.request("CreateModel")["PrimaryContainer"]["Image"] == OWN
        assert type(predictor) is getattr(sagemaker_custom, PREDICTORS[name])
        assert f"deploying {OWN}, which was given for training; image_uri= names another" in caplog.text

    @pytest.mark.parametrize("name", ["pytorch", "mxnet", "xgboost"])
    def test_model_alone_serves(self, bench, name):
        given = dict.fromkeys(MODELS[name][1])
        bench.model(name, image_uri=OWN, extras=(), **given).deploy(1, CPU, wait=False)
        assert bench.request("CreateModel")["PrimaryContainer"]["Image"] == OWN


class TestSparkML:
    @pytest.fixture
    def make(self, bench):
        def model(**more):
            given = {"role": ROLE, "extras": ["pip:zarr"], "build": "never", "settings": bench.cloud.settings}
            return CustomSparkMLModel("s3://data/spark.tar.gz", **given | {"sagemaker_session": bench.session} | more)

        return model

    @pytest.mark.parametrize("version", ["2.4", "3.3"])
    def test_deploy(self, bench, make, version):
        model = make(spark_version=version, env={"SAGEMAKER_SPARKML_SCHEMA": "{}"})
        image = bench.push(model)
        predictor = model.deploy(1, CPU, wait=False)
        container = bench.request("CreateModel")["PrimaryContainer"]
        assert container["Image"] == image
        assert f"/sagemaker-custom-sparkml-serving:{version}-inference-cpu-" in image
        assert container["Environment"] == {"SAGEMAKER_SPARKML_SCHEMA": "{}"}
        assert container["ModelDataUrl"] == "s3://data/spark.tar.gz"
        assert type(predictor) is CustomSparkMLPredictor

    def test_without_extras_it_is_the_image_of_aws(self, bench, make):
        make(extras=()).create(instance_type=CPU)
        [expected] = [bench.request("CreateModel")["PrimaryContainer"]["Image"]]
        assert expected == sagemaker.image_uris.retrieve("sparkml-serving", "us-east-1", version="3.3")

    def test_missing_image_is_told(self, bench, make, rare):
        with pytest.raises(ImageMissingError, match=r"build sparkml-serving --version 3\.3"):
            make(extras=rare).deploy(1, CPU, wait=False)

    def test_before_another_model(self, bench, make):
        models = [make(), bench.model("xgboost")]
        images = [bench.push(model) for model in models]
        PipelineModel(models, ROLE, sagemaker_session=bench.session).deploy(1, CPU, wait=False)
        assert [item["Image"] for item in bench.request("CreateModel")["Containers"]] == images

    def test_version_that_nobody_has(self, make):
        with pytest.raises(ImageNotInCatalogError, match=r"3\.9"):
            make(spark_version="3.9")

    def test_own_image_in_a_region_that_the_sdk_does_not_know(self, cloud, make):
        region = "eusc-de-east-1"
        with pytest.raises(ValueError, match=re.escape(region)):
            sagemaker.image_uris.retrieve("sparkml-serving", region, version="3.3")
        model = make(image_uri=OWN, extras=())
        assert model.prepare_container_def(CPU)["Image"] == OWN
        with pytest.raises(ImageNotInCatalogError, match=region):
            make(extras=()).serving_image_uri(region, CPU)
