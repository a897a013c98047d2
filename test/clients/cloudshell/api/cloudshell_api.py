"""A client that speaks to the Automation API exactly as CloudShellAPISession does.

It exists so that scripts written for CloudShell run in tests where its own package
can't be installed. Only the default port is another where the environment names one:
scripts that name none run against a server of a test. It keeps that one's habits, the bad ones too: children of request
objects in alphabetical order, numbers in them without an element of their own, list
items without attributes dropped, raw bytes where an answer has no known class.
"""
import os
import re
import socket
import urllib.request
import xml.etree.ElementTree as etree

NAMESPACE = b'xmlns="http://schemas.qualisystems.com/ResourceManagement/ApiCommandResult.xsd"'
XSI = "{http://www.w3.org/2001/XMLSchema-instance}"


class CloudShellAPIError(Exception):
    def __init__(self, code, message, rawxml):
        self.code, self.message, self.rawxml = code, message, rawxml

    def __str__(self):
        return "CloudShell API error " + str(self.code) + ": " + self.message


class _Request(object):
    """A request object: its attributes are its children."""

    def __init__(self, **fields):
        self.__dict__.update(fields)


class InputNameValue(_Request):
    def __init__(self, Name, Value):
        super().__init__(Name=Name, Value=Value)


class SandboxDataKeyValue(_Request):
    def __init__(self, Key, Value):
        super().__init__(Key=Key, Value=Value)


class SecurityGroup(_Request):
    def __init__(self, Name, SecurityGroupsConfigurations):
        super().__init__(Name=Name, SecurityGroupsConfigurations=SecurityGroupsConfigurations)


class SecurityGroupsConfiguration(_Request):
    def __init__(self, SubnetId, Rules):
        super().__init__(SubnetId=SubnetId, Rules=Rules)


class SecurityGroupRule(_Request):
    def __init__(self, FromPort, ToPort, Protocol, Source):
        super().__init__(FromPort=FromPort, ToPort=ToPort, Protocol=Protocol, Source=Source)


# The classes of answers: fields are str, a class name, or a list of either.
SHORT = {name: str for name in (
    "Id Name Description StartTime EndTime RecurrenceType Owner Booked Status ProvisioningStatus ActualEndTime "
    "CreateDate ModificationDate DomainName").split()}
SHORT.update(PermittedUsers=[str], Topologies=[str])
CLASSES = {
    "LogonResponseInfo": {"Domain": "DomainInfo", "User": "UserInfo", "Token": "TokenInfo"},
    "DomainInfo": {"Name": str, "DomainId": str},
    "UserInfo": {"Name": str, "IsAdmin": bool},
    "TokenInfo": {"Token": str},
    "CreateReservationResponseInfo": {"Reservation": "ReservationShortInfo"},
    "ReservationShortInfo": SHORT,
    "GetReservationDescriptionResponseInfo": {"ReservationDescription": "ReservationDescription"},
    "ReservationDescription": dict(SHORT, Resources=["ReservedResource"], Services=["ServiceInstance"], SetupStage=str),
    "ReservedResource": {"Name": str, "FullAddress": str, "ResourceFamilyName": str, "VmDetails": "VmDetails"},
    "VmDetails": {"UID": str, "CloudProviderFullName": str, "NetworkData": ["VmDetailsNetworkInterface"]},
    "VmDetailsNetworkInterface": {"NetworkId": str, "IsPrimary": bool, "AdditionalData": ["AdditionalDataParam"]},
    "AdditionalDataParam": {"Name": str, "Value": str},
    "ServiceInstance": {"ServiceName": str, "Alias": str, "Attributes": ["AttributeValueInfo"]},
    "AttributeValueInfo": {"Name": str, "Value": str},
    "ReservationSlimStatusInfo": {"ReservationSlimStatus": "ReservationSlimStatus"},
    "ReservationSlimStatus": {"Status": str, "ProvisioningStatus": str, "SetupStage": str},
    "GetReservationRemainingTimeInfo": {"RemainingTimeInMinutes": float},
    "GetActiveReservationsResponseInfo": {"Reservations": ["ReservationShortInfo"]},
    "CommandExecutionCompletedResultInfo": {"Output": str},
    "CommandExecutionIdResponseInfo": {"Id": str},
    "ReserveResourcesResponseInfo": {"Conflicts": [str]},
    "CheckoutFromPoolInfo": {"Items": [str]},
    "GetSandboxDataInfo": {"SandboxDataKeyValues": ["SandboxDataKeyValue"]},
    "SandboxDataKeyValue": {"Key": str, "Value": str},
    "SetSecurityGroupsInfo": {"ResultItems": ["SetSecurityGroupInfo"]},
    "SetSecurityGroupInfo": {"AppName": str, "Success": bool, "Error": str},
    "ResourceCommandListInfo": {"Commands": ["ResourceCommandInfo"]},
    "ResourceCommandInfo": {"Name": str},
}


class _Answer(object):
    def __init__(self, element, cls):
        empty = True
        for name, kind in CLASSES[cls].items():
            child = element.find(name)
            if isinstance(kind, list):
                value = self._list(child, kind[0])
            elif isinstance(kind, str):
                value = None if child is None else _Answer(child, kind)
                empty = False
            else:
                text = element.get(name)
                if text is None and child is not None:
                    text = child.text
                empty = empty and text is None
                value = self._scalar(text, kind)
            setattr(self, name, value)
        if empty and any(isinstance(k, type) for k in CLASSES[cls].values()):
            for name, kind in CLASSES[cls].items():
                setattr(self, name, kind)

    @staticmethod
    def _scalar(text, kind):
        if text is None or kind is str:
            return text
        if kind is bool:
            return text.lower() in ("true", "1", "yes", "on")
        try:
            return kind(text)
        except ValueError:
            return 0

    @staticmethod
    def _list(element, kind):
        if element is None:
            return []
        if kind is str:
            items = [child.text for child in element]
            return items or ([element.text] if element.text else [])
        return [_Answer(child, kind) for child in element if child.attrib]


class CloudShellAPISession(object):
    def __init__(self, host, username="", password="", domain="", timezone="UTC", datetimeformat="MM/dd/yyyy HH:mm",
                 token_id="", port=os.environ.get("CLOUDSHELL_PORT", 8029), uri="/ResourceManagerApiService/", cloudshell_api_scheme="http"):
        self.host, self.port = host, str(port)
        self.url = "%s://%s:%s%s" % (cloudshell_api_scheme, host, port, uri)
        self.headers = {"Content-Type": "text/xml", "Accept": "*/*", "ClientTimeZoneId": timezone, "DateTimeFormat": datetimeformat}
        self.token_id = ""
        if token_id:
            answer = self.SecureLogon(token_id, domain)
        else:
            answer = self.Logon(username, password, domain)
        self.domain, self.token_id = answer.Domain.DomainId, answer.Token.Token

    def _serialize(self, value):
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, list):
            return "".join("<string>%s</string>" % self._escape(v) if isinstance(v, str)
                           else "<%s>%s</%s>" % (type(v).__name__, self._serialize(v), type(v).__name__) for v in value)
        if isinstance(value, _Request):
            text = ""
            for name in sorted(vars(value)):
                field = getattr(value, name)
                if isinstance(field, int):
                    text += str(field)
                elif field is not None:
                    text += "<%s>%s</%s>" % (name, self._serialize(field), name)
            return text
        return self._escape(str(value))

    @staticmethod
    def _escape(text):
        text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return text.encode("ascii", "xmlcharrefreplace").decode("ascii")

    def _call(self, operation, **params):
        body = ""
        for name, value in params.items():
            body += "<%s />" % name if value is None or value == [] else "<%s>%s</%s>" % (name, self._serialize(value), name)
        headers = dict(self.headers, Authorization="MachineName=%s:%s;Token=%s" % (socket.gethostname(), self.port, self.token_id))
        request = urllib.request.Request(self.url + operation, ("<%s>%s</%s>" % (operation, body, operation)).encode("ascii"), headers)
        with urllib.request.urlopen(request) as response:
            raw = response.read()
        return self._read(raw)

    @staticmethod
    def _read(raw):
        cleaned = re.sub(b"&#x0;", b"<NUL>", raw.replace(NAMESPACE, b""))
        root = etree.fromstring(cleaned)
        if root.attrib["Success"].lower() not in ("true", "yes", "on"):
            raise CloudShellAPIError(root.find("ErrorCode").text, root.find("Error").text, raw)
        info = root.find("ResponseInfo")
        if info is None or not info.attrib:
            return raw
        name, cls = next(iter(info.attrib.items()))
        if name != XSI + "type" or cls not in CLASSES:
            return raw
        return _Answer(info, cls)

    def Logon(self, username="", password="", domainName="Global"):
        return self._call("Logon", username=username, password=password, domainName=domainName)

    def SecureLogon(self, token="", domainName="Global"):
        return self._call("SecureLogon", token=token, domainName=domainName)

    def Logoff(self):
        return self._call("Logoff")

    def CreateImmediateReservation(self, reservationName="", owner="", durationInMinutes=0):
        return self._call("CreateImmediateReservation", reservationName=reservationName, owner=owner, durationInMinutes=durationInMinutes,
                          notifyOnStart=False, notifyOnEnd=False, notificationMinutesBeforeEnd=0)

    def CreateImmediateTopologyReservation(self, reservationName="", owner="", durationInMinutes=0, topologyFullPath=""):
        return self._call("CreateImmediateReservation", reservationName=reservationName, owner=owner, durationInMinutes=durationInMinutes,
                          notifyOnStart=False, notifyOnEnd=False, notificationMinutesBeforeEnd=0, topologyFullPath=topologyFullPath,
                          globalInputs=[], requirementsInputs=[], additionalInfoInputs=[], notifyOnSetupComplete=False)

    def GetReservationDetails(self, reservationId="", disableCache=False):
        return self._call("GetReservationDetails", reservationId=reservationId, disableCache=disableCache)

    def GetReservationStatus(self, reservationId=""):
        return self._call("GetReservationStatus", reservationId=reservationId)

    def GetReservationRemainingTime(self, reservationId=""):
        return self._call("GetReservationRemainingTime", reservationId=reservationId)

    def GetCurrentReservations(self, reservationOwner=""):
        return self._call("GetCurrentReservations", reservationOwner=reservationOwner)

    def EndReservation(self, reservationId="", unmap=False):
        return self._call("EndReservation", reservationId=reservationId, unmap=unmap)

    def TerminateReservation(self, reservationId=""):
        return self._call("TerminateReservation", reservationId=reservationId)

    def ExtendReservation(self, reservationId="", minutesToAdd=0):
        return self._call("ExtendReservation", reservationId=reservationId, minutesToAdd=minutesToAdd)

    def ExecuteCommand(self, reservationId="", targetName="", targetType="", commandName="", commandInputs=[], printOutput=False):
        return self._call("ExecuteCommand", reservationId=reservationId, targetName=targetName, targetType=targetType,
                          commandName=commandName, commandInputs=commandInputs, printOutput=printOutput)

    def EnqueueCommand(self, reservationId="", targetName="", targetType="", commandName="", commandInputs=[], printOutput=False):
        return self._call("EnqueueCommand", reservationId=reservationId, targetName=targetName, targetType=targetType,
                          commandName=commandName, commandInputs=commandInputs, printOutput=printOutput)

    def WriteMessageToReservationOutput(self, reservationId="", message=""):
        return self._call("WriteMessageToReservationOutput", reservationId=reservationId, message=message)

    def AddResourcesToReservation(self, reservationId="", resourcesFullPath=[], shared=False):
        return self._call("AddResourcesToReservation", reservationId=reservationId, resourcesFullPath=resourcesFullPath, shared=shared)

    def RemoveResourcesFromReservation(self, reservationId="", resourcesFullPath=[], shared=False):
        return self._call("RemoveResourcesFromReservation", reservationId=reservationId, resourcesFullPath=resourcesFullPath, shared=shared)

    def CheckoutFromPool(self, selectionCriteriaJson=""):
        return self._call("CheckoutFromPool", selectionCriteriaJson=selectionCriteriaJson)

    def ReleaseFromPool(self, values=[], poolId="", reservationId="", ownerId=""):
        return self._call("ReleaseFromPool", values=values, poolId=poolId, reservationId=reservationId, ownerId=ownerId)

    def SetAppSecurityGroups(self, reservationId="", securityGroups=[], printOutput=False):
        return self._call("SetAppSecurityGroups", reservationId=reservationId, securityGroups=securityGroups, printOutput=printOutput)

    def SetSandboxData(self, reservationId="", sandboxDataKeyValues=[]):
        return self._call("SetSandboxData", reservationId=reservationId, sandboxDataKeyValues=sandboxDataKeyValues)

    def GetSandboxData(self, reservationId=""):
        return self._call("GetSandboxData", reservationId=reservationId)

    def GetResourceCommands(self, resourceFullPath=""):
        return self._call("GetResourceCommands", resourceFullPath=resourceFullPath)
