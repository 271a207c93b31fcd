from __future__ import annotations

from dataclasses import replace

import pyotp
import pytest

from headrace.access.codes import LOCK_S, MAX_WRONG, STEP_S
from headrace.core.errors import Conflict, Denied, InvalidInput
from headrace.core.identity import Credential, Principal
from headrace.testing import make_principal
from tests.access.people import Door


class Phone:
    """Somebody's authenticator app."""

    def __init__(self, door: Door, name: str = "ann") -> None:
        self.clock = door.clock
        self.codes = door.access.factors.codes
        self.owner: Principal = make_principal(name=name)
        self.key = self.codes.new_key()
        door.access.factors.keep(self.codes.accept(self.owner, self.key, self.shows()))
        self.clock.advance(STEP_S)

    def shows(self, steps: int = 0) -> str:
        """The code of this step, or of one so many steps away."""
        return pyotp.TOTP(self.key).at(self.clock.now(), counter_offset=steps)

    def wrong(self) -> str:
        """No code of this time."""
        near = {self.shows(steps) for steps in range(-3, 4)}
        return next(f"{n:06}" for n in range(10) if f"{n:06}" not in near)


@pytest.fixture
def phone(door: Door) -> Phone:
    return Phone(door)


@pytest.mark.parametrize("steps", [-1, 0, 1])
def test_a_code_counts_one_step_early_or_late(phone: Phone, steps: int) -> None:
    phone.clock.advance(STEP_S)
    code = phone.shows(steps)
    phone.codes.check("ann", f" {code[:3]} {code[3:]} ")


@pytest.mark.parametrize("steps", [-2, 2])
def test_a_code_of_another_time_does_not(phone: Phone, steps: int) -> None:
    phone.clock.advance(3 * STEP_S)
    with pytest.raises(Denied, match="wrong"):
        phone.codes.check("ann", phone.shows(steps))


@pytest.mark.requirement("MCP-08")
def test_a_code_works_once(phone: Phone) -> None:
    code = phone.shows()
    phone.codes.check("ann", code)
    with pytest.raises(Denied, match="used already"):
        phone.codes.check("ann", code)
    phone.clock.advance(STEP_S)
    with pytest.raises(Denied, match="used already"):
        phone.codes.check("ann", phone.shows(-1))
    phone.codes.check("ann", phone.shows())


def test_the_code_that_began_it_counts_as_used(door: Door) -> None:
    codes, key = door.access.factors.codes, door.access.factors.codes.new_key()
    code = pyotp.TOTP(key).at(door.clock.now())
    door.access.factors.keep(codes.accept(make_principal(name="ann"), key, code))
    with pytest.raises(Denied, match="used already"):
        codes.check("ann", code)


@pytest.mark.requirement("MCP-08")
def test_guessing_ends_at_the_fifth_code_for_five_minutes(door: Door, phone: Phone) -> None:
    for left in range(MAX_WRONG - 1, 0, -1):
        with pytest.raises(Denied, match=f"Tries left: {left}"):
            phone.codes.check("ann", phone.wrong())
    for code in (phone.wrong(), phone.shows()):
        with pytest.raises(Denied, match="no more are taken until"):
            phone.codes.check("ann", code)
    phone.clock.advance(LOCK_S - 1)
    with pytest.raises(Denied, match="no more are taken"):
        phone.codes.check("ann", phone.shows())
    phone.clock.advance(1)
    phone.codes.check("ann", phone.shows())
    (incident,) = door.store.incidents.list(subject="ann")
    assert incident.kind == "code_guessing"


def test_a_right_code_forgives_the_wrong_ones(phone: Phone) -> None:
    for _ in range(3):
        for _ in range(MAX_WRONG - 1):
            with pytest.raises(Denied, match="Tries left"):
                phone.codes.check("ann", phone.wrong())
        phone.clock.advance(STEP_S)
        phone.codes.check("ann", phone.shows())


class Behind:
    """A store in which somebody else is always a moment faster."""

    def __init__(self, phone: Phone) -> None:
        self._kept = phone.codes._credentials

    def list(
        self, *, workspace: str | None = None, subject: str | None = None, state: str | None = None
    ) -> list[Credential]:
        found = self._kept.list(workspace=workspace, subject=subject, state=state)
        for one in found:
            self._kept.change(replace(one, revision=one.revision + 1))
        return found

    def add(self, record: Credential) -> Credential:
        return self._kept.add(record)

    def get(self, record_id: str) -> Credential:
        return self._kept.get(record_id)

    def find(self, record_id: str) -> Credential | None:
        return self._kept.find(record_id)

    def change(self, record: Credential) -> Credential:
        return self._kept.change(record)

    def edition(self) -> object:
        return self._kept.edition()


def test_two_codes_at_the_same_moment_tell_nothing(phone: Phone) -> None:
    phone.codes._credentials = Behind(phone)
    answers = set()
    for code in (phone.shows(), phone.wrong()):
        with pytest.raises(Denied) as refused:
            phone.codes.check("ann", code)
        answers.add(str(refused.value))
    assert len(answers) == 1


@pytest.mark.parametrize("code", ["", "12345", "1234567", "12345a", "١٢٣٤٥٦", "-12345", "1.2345"])
def test_what_is_no_code_is_not_counted(phone: Phone, code: str) -> None:
    for _ in range(MAX_WRONG + 1):
        with pytest.raises(InvalidInput, match="six digits"):
            phone.codes.check("ann", code)
    phone.codes.check("ann", phone.shows())


def test_an_app_begins_with_its_own_code(door: Door) -> None:
    codes = door.access.factors.codes
    ann, key = make_principal(name="ann"), codes.new_key()
    now = door.clock.now()
    wrong = next(
        f"{n:06}" for n in range(9) if not pyotp.TOTP(key).verify(f"{n:06}", for_time=now, valid_window=1)
    )
    with pytest.raises(Denied, match="not the code"):
        codes.accept(ann, key, wrong)
    with pytest.raises(InvalidInput, match="no authenticator app"):
        codes.check("ann", wrong)


def test_a_person_has_one_app(door: Door, phone: Phone) -> None:
    key = phone.codes.new_key()
    with pytest.raises(Conflict, match="already"):
        phone.codes.accept(phone.owner, key, pyotp.TOTP(key).at(phone.clock.now()))
    (app,) = door.access.factors.list("ann")
    door.access.factors.end(app)
    at_once = [phone.codes.accept(phone.owner, key, pyotp.TOTP(key).at(phone.clock.now())) for _ in range(2)]
    door.access.factors.keep(at_once[0])
    with pytest.raises(Conflict, match="added before"):
        door.access.factors.keep(at_once[1])
    assert len(door.access.factors.list("ann")) == 1


@pytest.mark.requirement("MCP-08")
def test_the_key_is_nowhere_to_be_read(door: Door, phone: Phone) -> None:
    (app,) = door.store.credentials.list(subject="ann")
    assert phone.key not in repr(app)
    kept = b"".join(path.read_bytes() for path in door.home.rglob("*") if path.is_file())
    assert phone.key.encode() not in kept
    assert app.data["sealed"].encode() in kept


def test_the_link_is_for_apps(door: Door) -> None:
    link = door.access.factors.codes.link("JBSWY3DPEHPK3PXP" * 2, "ann")
    parsed = pyotp.parse_uri(link)
    assert (parsed.issuer, parsed.name, parsed.secret) == ("Headrace", "ann", "JBSWY3DPEHPK3PXP" * 2)
