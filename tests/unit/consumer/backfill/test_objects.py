"""What an error of a store's library is told as."""

import pytest
from botocore.exceptions import NoCredentialsError, PartialCredentialsError

from consumer.backfill.objects import explained
from neardup.errors import Misconfigured, StoreUnavailable


@pytest.mark.parametrize("error", [NoCredentialsError(), PartialCredentialsError(provider="env", cred_var="secret")])
def test_a_store_without_credentials_says_where_they_are_looked_for(error: Exception) -> None:
    with (
        pytest.raises(Misconfigured, match=r"^s3://bucket/a: no credentials .* AWS_ACCESS_KEY_ID"),
        explained("s3://bucket/a"),
    ):
        raise error


def test_what_else_goes_wrong_may_pass() -> None:
    with pytest.raises(StoreUnavailable, match=r"^s3://bucket/a: OSError$"), explained("s3://bucket/a"):
        raise OSError("the key is hunter2")
