"""PyTorch with CUDA, as far as it goes without a GPU, and on one where there is one."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support import LABEL, run

Job = Callable[[str], str]

PACKAGES = "/usr/local/lib/python3.13/dist-packages"
KERNEL = """
#include <cstdio>
__global__ void twice(float *x) { x[threadIdx.x] *= 2; }
int main() {
    float host[2] = {1, 2}, *device;
    cudaError_t error = cudaMalloc(&device, sizeof host);
    if (error != cudaSuccess) { printf("%s\\n", cudaGetErrorString(error)); return 3; }
    cudaMemcpy(device, host, sizeof host, cudaMemcpyHostToDevice);
    twice<<<1, 2>>>(device);
    cudaMemcpy(host, device, sizeof host, cudaMemcpyDeviceToHost);
    printf("%g %g\\n", host[0], host[1]);
}
"""
COMPILE = f"cat >/tmp/twice.cu <<'CUDA'\n{KERNEL}\nCUDA\n"
# From the host, with its driver.
DRIVER = {"libcuda.so.1", "libnvidia-ml.so.1"}
# Of plugins for networks between machines, which bring their own libraries.
NETWORK = re.compile(r"libcufile_rdma|nvshmem_(bootstrap|transport)_")
# Triton's plugins are loaded into a process that has it already.
LOADED = {"libtriton.so"}
MULTIPLY = """
import torch
torch.manual_seed(1)
a = torch.rand(512, 512)
there = a.cuda()
assert there.is_cuda
assert torch.allclose((there @ there).cpu(), a @ a, rtol=1e-2)
compiled = torch.compile(lambda x: (x * 2 + 1).sum())
assert torch.allclose(compiled(there).cpu(), (a * 2 + 1).sum(), rtol=1e-3)
print(torch.cuda.get_device_name())
"""


def test_torch_is_built_for_cuda(job: Job) -> None:
    said = job("python -c 'import torch; print(torch.version.cuda, torch.ones(2).sum().item())'")
    version, total = said.split()
    assert re.fullmatch(r"13\.\d+", version)
    assert total == "2.0"


def test_all_libraries_resolve(job: Job) -> None:
    folders = "cuda nvidia torch triton"
    script = f"""
cd {PACKAGES}
look() {{ ldd "$0" | sed -n "s|^\\s*\\(\\S*\\) => not found|$0 \\1|p"; }}
export -f look
find {folders} -type f -name '*.so*' -print0 | xargs -0 -n 1 -P 4 bash -c look
find {folders} -type f -name '*.so*' | wc -l
"""
    *missing, count = job(script).splitlines()
    assert int(count) > 100
    pairs = [line.split() for line in missing]
    assert [
        (file, library)
        for file, library in pairs
        if library not in DRIVER | LOADED and not NETWORK.match(Path(file).name)
    ] == []


def test_a_kernel_compiles(job: Job) -> None:
    compiles = "nvcc -arch=sm_90 -cubin -o /tmp/twice.cubin /tmp/twice.cu"
    script = f"{compiles} && head -c 20 /tmp/twice.cubin | od -An -tx1"
    header = bytes.fromhex(job(COMPILE + script).replace(" ", "").replace("\n", ""))
    assert header[:4] == b"\x7fELF"
    assert int.from_bytes(header[18:20], "little") == 190  # EM_CUDA


def test_without_a_gpu_a_program_says_so(job: Job) -> None:
    said = job(
        COMPILE + "nvcc -arch=sm_90 -o /tmp/twice /tmp/twice.cu && { /tmp/twice || echo $?; }"
    )
    assert said.splitlines()[-1] == "3"
    assert "driver" in said


def test_the_compiler_fits_torch(job: Job) -> None:
    compiler = re.search(r"release (13\.\d+)", job("nvcc --version"))
    assert compiler
    built_for = job(f"sed -n \"s/^cuda.* = '\\(.*\\)'/\\1/p\" {PACKAGES}/torch/version.py")
    assert compiler[1] == built_for.strip()


@pytest.fixture
def gpu_job(image: str, tool: str) -> Job:
    """Return what runs a script as a job that has all GPUs; no GPU, no pass."""
    if tool != "docker":
        pytest.skip("a GPU needs Docker's engine: this runs where images are deployed")
    if shutil.which("nvidia-smi") is None:
        pytest.skip("no GPU: this machine has no driver of NVIDIA's (no nvidia-smi)")
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    if not listed.stdout.startswith("GPU "):
        pytest.skip(f"no GPU: nvidia-smi -L says {(listed.stdout + listed.stderr).strip()!r}")
    start = ("docker", "run", "--rm", "-i", "--label", LABEL, "--gpus", "all", image)
    return lambda script: run(*start, "bash", stdin=script.encode())


def test_torch_computes_on_the_gpu(gpu_job: Job) -> None:
    assert gpu_job(f"python - <<'SCRIPT'\n{MULTIPLY}\nSCRIPT").strip()


def test_a_kernel_runs_on_the_gpu(gpu_job: Job) -> None:
    said = gpu_job(COMPILE + "nvcc -arch=native -o /tmp/twice /tmp/twice.cu && /tmp/twice")
    assert said == "2 4\n"


def test_the_parents_packages_are_not_repeated() -> None:
    here = Path(__file__).parents[2]
    locks = [here / name / "requirements.lock" for name in ("python", "python-cuda")]
    parent, child = (
        set(re.findall(r"^([a-z0-9._-]+)==", lock.read_text(), flags=re.MULTILINE))
        for lock in locks
    )
    assert len(child) > 20
    assert parent & child == set()
