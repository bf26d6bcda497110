"""The SageMaker Python SDK v3 ↔ ImageSpec and SourceBundle: imports ``sagemaker`` of version 3, nobody else does."""
