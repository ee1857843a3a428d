"""Tests of the number of threads."""

import subprocess
import sys


def test_threads_are_set_after_another_thread_has_imported_torch() -> None:
    code = (
        "import sys, threading\n"
        "from p2vit.workflows.threads import torch_threads\n"
        "threading.Thread(target=__import__, args=('torch',)).start()\n"
        "while 'torch' not in sys.modules: pass\n"
        "torch_threads(1)\n"
        "import torch\n"
        "assert torch.get_num_threads() == 1\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
