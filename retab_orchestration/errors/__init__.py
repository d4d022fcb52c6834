"""Every error that this library raises, named for what the caller does next.

```text
RetabError                          anything below
├── ConfigurationError              key, address, api or auth is wrong: fix the settings
├── InvalidInputError               an argument was refused, nothing was created or changed: fix the call
├── ApiError                        a request was made and went wrong; carries status, code, request id, run id
│   ├── ApiConnectionError          no answer: try again later (`sent` tells whether the request may have arrived)
│   │   ├── ApiTimeoutError         no answer in time
│   │   └── NoTlsError              the server does not speak TLS: write http:// before the host
│   ├── UnreadableAnswerError       a success whose body is not what the API promises: check the server or a proxy
│   ├── ResponseTooLargeError       an answer has more than `max_response_bytes`: raise that, or check the server
│   └── ApiStatusError              the server said no
│       ├── AuthenticationError     401: fix the key, or the header it is sent in
│       ├── PermissionDeniedError   403: ask for access
│       ├── NotFoundError           404: fix the id, or the environment that the key belongs to
│       │   └── UnsupportedRouteError  404, 405 of a route that this server does not have: set `api`
│       ├── ConflictError           409: read the present state first
│       │   └── ReviewConflictError another decision stands, or a newer version came: read it, then decide again
│       ├── DocumentTooLargeError   413: upload it on current routes, or send a smaller document
│       ├── UploadRefusedError      an upload was refused, twice: see what stands between here and the storage
│       │   └── UploadNotAllowedError  an address was given to which nothing goes: set `base_url` or `upload_hosts`
│       ├── DownloadRefusedError    a document was refused at its address, and at a new one: check it in Retab
│       │   └── DownloadNotAllowedError  an address was given that is not safe: set `base_url` or `upload_hosts`
│       ├── RequestRejectedError    400, 422: fix the request
│       ├── RateLimitedError        429: try again after `retry_after` seconds
│       └── ServerError             5xx, 408: try again later
├── DocumentReadError               a document could not be read to its end, nothing was created: try again
├── DocumentWriteError              a document could not be written to its end, nothing is left there: try again
├── WebhookRejectedError            a webhook is not signed with the secret, or unreadable: answer 401 or 400
├── CreateOutcomeUnknownError       a create got no readable answer, the run may exist: search, then create again
├── InputsChangedError              the task's run was started with other inputs: clear it, or restore them
├── RunFailedError                  the run ended in error: read why, then run again or fix the workflow
├── RunCancelledError               the run was cancelled: run again if that was not meant
├── ReviewNotResumedError           the run's reviews are decided and it does not go on: check it in Retab, restart it
├── OutputsUnavailableError         the run has ended, its outputs could not be read: wait again, it is not run again
├── ReviewRequiredError             the run waits for a human and the caller does not: decide the review
└── WaitTimeoutError                the deadline passed and the run goes on: wait again, or cancel it
```
"""

from retab_orchestration.errors.api import (
    ApiConnectionError,
    ApiError,
    ApiStatusError,
    ApiTimeoutError,
    AuthenticationError,
    ConflictError,
    DocumentTooLargeError,
    DownloadNotAllowedError,
    DownloadRefusedError,
    NotFoundError,
    NoTlsError,
    PermissionDeniedError,
    RateLimitedError,
    RequestRejectedError,
    ResponseTooLargeError,
    ReviewConflictError,
    ServerError,
    UnreadableAnswerError,
    UnsupportedRouteError,
    UploadNotAllowedError,
    UploadRefusedError,
)
from retab_orchestration.errors.base import (
    ConfigurationError,
    DocumentReadError,
    DocumentWriteError,
    InvalidInputError,
    RetabError,
    WebhookRejectedError,
)
from retab_orchestration.errors.runs import (
    CreateOutcomeUnknownError,
    InputsChangedError,
    OutputsUnavailableError,
    ReviewNotResumedError,
    ReviewRequiredError,
    RunCancelledError,
    RunFailedError,
    WaitTimeoutError,
)

__all__ = [
    "ApiConnectionError",
    "ApiError",
    "ApiStatusError",
    "ApiTimeoutError",
    "AuthenticationError",
    "ConfigurationError",
    "ConflictError",
    "CreateOutcomeUnknownError",
    "DocumentReadError",
    "DocumentTooLargeError",
    "DocumentWriteError",
    "DownloadNotAllowedError",
    "DownloadRefusedError",
    "InputsChangedError",
    "InvalidInputError",
    "NoTlsError",
    "NotFoundError",
    "OutputsUnavailableError",
    "PermissionDeniedError",
    "RateLimitedError",
    "RequestRejectedError",
    "ResponseTooLargeError",
    "RetabError",
    "ReviewConflictError",
    "ReviewNotResumedError",
    "ReviewRequiredError",
    "RunCancelledError",
    "RunFailedError",
    "ServerError",
    "UnreadableAnswerError",
    "UnsupportedRouteError",
    "UploadNotAllowedError",
    "UploadRefusedError",
    "WaitTimeoutError",
    "WebhookRejectedError",
]
