"""Stacks, cut where the application ends and the wrapper begins."""

from coachman.supervisor.failures.stacks import application_stacks

WRITTEN = """\
Thread 0x00007f01 (most recent call first):
  File "/usr/lib/python3.11/threading.py", line 320 in wait
  File "/usr/lib/python3.11/threading.py", line 1002 in _bootstrap

Current thread 0x00007f02 (most recent call first):
  File "/srv/app/wsgi.py", line 7 in connect
  File "/srv/app/wsgi.py", line 8 in <module>
  File "<frozen importlib._bootstrap>", line 241 in _call_with_frames_removed
  File "/x/coachman/worker/application.py", line 48 in _load_file
  File "<frozen runpy>", line 198 in _run_module_as_main
"""


def test_the_wrappers_frames_are_cut_off() -> None:
    shown = application_stacks(WRITTEN, "/x/coachman/")
    assert shown.endswith('  File "/srv/app/wsgi.py", line 8 in <module>')
    assert shown.startswith("Thread 0x00007f01")
    assert "_bootstrap\n\nCurrent thread" in shown


def test_the_import_of_the_application_is_cut_off_as_well() -> None:
    importing = '  File "<frozen importlib._bootstrap>", line 1204 in _gcd_import\n'
    importing += '  File "/usr/lib/python3.11/importlib/__init__.py", line 126 in import_module\n'
    wrapper = '  File "/x/coachman/worker/application.py"'
    shown = application_stacks(WRITTEN.replace(wrapper, importing + wrapper), "/x/coachman/")
    assert shown.endswith('  File "/srv/app/wsgi.py", line 8 in <module>')


def test_frames_without_the_wrapper_stay_as_they_are() -> None:
    assert application_stacks(WRITTEN, "/y/") == WRITTEN.strip()
    assert application_stacks("", "/x/") == ""


def test_a_thread_of_the_wrapper_alone_keeps_its_frames() -> None:
    written = (
        'Thread 0x1 (most recent call first):\n  File "/x/coachman/worker/wrapper.py", line 1 in negotiate'
    )
    assert application_stacks(written, "/x/coachman/") == written
