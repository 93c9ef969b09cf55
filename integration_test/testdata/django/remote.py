"""Who somebody is, by the header that the gateway sets."""

from django.contrib.auth.backends import RemoteUserBackend
from django.contrib.auth.middleware import PersistentRemoteUserMiddleware, RemoteUserMiddleware


class Administrators(RemoteUserBackend):
    """Makes an administrator of whoever comes first."""

    def authenticate(self, request, remote_user):
        user = super().authenticate(request, remote_user)
        if user is not None and not user.is_superuser:
            user.is_staff = user.is_superuser = True
            user.save()
        return user


class EachTime(RemoteUserMiddleware):
    """Django's own: where the session is somebody else's it is ended, and another one is begun."""

    header = "HTTP_REMOTE_USER"


class Once(PersistentRemoteUserMiddleware):
    """Asks the header at sign-in alone, as apps do that have sign-in on a page of its own."""

    header = "HTTP_REMOTE_USER"

    def process_request(self, request):
        if not request.user.is_authenticated:
            super().process_request(request)
