#!/bin/sh
# An image without 'serve' → one that has SageMaker's inference toolkit and its model server.
# Arguments: an interpreter with pip, then arguments of 'pip install'. SAGEMAKER_CUSTOM_USER: whom the image runs as.
set -eu
python=$1
shift
here=$(dirname "$0")

command -v java > /dev/null || sh "$here/packages.sh" @java
"$python" -m pip install "$@"

# The model server starts its workers by the name 'python'.
mkdir -p "$here/bin" /opt/ml/model
path=$(command -v "$python")
printf '#!/bin/sh\nexec %s "$@"\n' "$path" > "$here/bin/python"
scripts=$("$python" -c 'import sysconfig; print(sysconfig.get_path("scripts"))')
printf '#!/bin/sh\nPATH=%s/bin:%s:$PATH exec %s %s/serve.py "$@"\n' "$here" "$scripts" "$path" "$here" \
    > /usr/local/bin/serve
chmod 755 "$here/bin/python" /usr/local/bin/serve
if [ -n "${SAGEMAKER_CUSTOM_USER:-}" ]; then
    # The toolkit writes the model server's configuration there, whoever it runs as.
    touch /etc/sagemaker-mms.properties
    chown "$SAGEMAKER_CUSTOM_USER" /etc/sagemaker-mms.properties
fi
