#!/bin/sh
# install.sh LOCK: install the packages of a lock file to /out/usr/local, as small as they get.
# --no-deps: the lock leaves out what slows Jupyter's start down (requirements-excluded.txt).
# Debian's Python looks for local packages in dist-packages. Left out: debug symbols, the packages' own
# tests, C made by Cython, debugpy's libraries for other systems; JupyterLab brings its pages twice.
# Bytecode is made here because users cannot write it.
set -eu
# uv makes no folder where a layer has no package.
mkdir -p /out/usr/local/lib/python3.13/site-packages
cd /out/usr/local
UV_COMPILE_BYTECODE=0 uv pip install --python /usr/bin/python3 --prefix . --require-hashes --no-deps \
    --only-binary :all: -r "$1"
cd lib/python3.13
mv site-packages dist-packages
cd dist-packages
for package in joblib jupyterlab matplotlib numpy pandas psutil scipy sklearn; do
    [ ! -d "$package" ] || find "$package" -depth -type d -name tests -exec rm -r {} +
done
if [ -d jupyterlab ]; then
    rm -r jupyterlab/galata jupyterlab/static
    ln -s /usr/local/share/jupyter/lab/static jupyterlab/static
fi
find . -type f -name '*.c' -size +50k -delete
find . -type f -path './debugpy/*' \( -name '*.dll' -o -name '*.dylib' -o -name '*.exe' \) -delete
find . -type f \( -name '*.so' -o -name '*.so.*' \) -exec strip --strip-unneeded {} +
find . -name __pycache__ -exec rm -r {} +
python3 -m compileall -q -j 2 --invalidation-mode unchecked-hash -s /out "$PWD"
