import threading

import torch

from p2vit.quant.workers import Workers


def test_results_keep_their_order_and_torch_gets_its_threads_back():
    before = torch.get_num_threads()
    with Workers(3) as workers:
        assert workers.map(lambda i: i * i, range(20)) == [i * i for i in range(20)]
        names = set(workers.map(lambda _: threading.current_thread().name, range(50)))
        assert threading.main_thread().name not in names
        assert set(workers.map(lambda _: torch.get_num_threads(), range(6))) == {1}
    assert torch.get_num_threads() == before
